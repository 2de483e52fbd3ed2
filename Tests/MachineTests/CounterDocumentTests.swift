import Machine
import TestSupport
import Testing

@Suite("Counters on paper")
struct CounterDocumentTests {
    @Test("Every counter of the table stands in docs/counters.md by the name the report gives it")
    func complete() throws {
        let folder = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let text = String(decoding: try readFile("/\(folder)/docs/counters.md"), as: UTF8.self)
        for counter in Counter.allCases {
            let entry = counter.entry
            let isOfSocket = entry.report == "xdp_statistics"
            let name = isOfSocket ? entry.reason! : entry.reason.map { "\(entry.report){\($0)}" } ?? entry.report
            #expect(text.contains("`\(name)`"), "\(name)")
        }
    }
}
