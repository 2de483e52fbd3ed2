import TestSupport
import Testing

@Suite("The version")
struct VersionTests {
    @Test("The version is a number of three parts that stands in the change log's form")
    func version() throws {
        let version = try spillway(["--version"]).checked().outputLines
        #expect(version.count == 1)
        let parts = try #require(version.first).split(separator: ".", omittingEmptySubsequences: false)
        #expect(parts.count == 3 && parts.allSatisfy { UInt($0) != nil })
    }
}
