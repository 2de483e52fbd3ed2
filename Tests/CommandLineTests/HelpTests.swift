import Options
import TestSupport
import Testing

@Suite("The help says what is true")
struct HelpTests {
    @Test("Every option of the help exists, and every option that exists is in the help")
    func options() throws {
        let help = try spillway(["run", "--help"]).checked().outputText
        let listed = Set(help.split { !$0.isLetter && $0 != "-" }.filter { $0.hasPrefix("--") }.map(String.init))
        let known = RunOption.allCases.map { "--\($0.rawValue)" } + ["--config", "--help", "--version"]
        #expect(listed == Set(known))
        // The only one that has no value on the command line.
        expect(try spillway(["run", "--busy-poll"]), exits: 64, naming: ["no input"])
        for option in RunOption.allCases where option != .busyPoll {
            // Without a value it must be missing its value, not unknown.
            let result = try spillway(["run", "--\(option.rawValue)"])
            expect(result, exits: 64, naming: ["Missing value for '"])
            if option.spelling.count == 2 { #expect(help.contains("  \(option.spelling), --\(option.rawValue) <")) }
        }
    }

    @Test("Every example in the help is a valid command line")
    func examples() throws {
        let pages = try ["spillway": ["--help"], "run": ["run", "--help"]].mapValues { arguments in
            try spillway(arguments).checked().outputLines
        }
        var count = 0
        for (page, lines) in pages {
            for line in lines where line.hasPrefix("  ") && line.drop(while: { $0 == " " }).hasPrefix("spillway run ") {
                count += 1
                try check(example: String(line.drop { $0 == " " }), of: page)
            }
        }
        #expect(count == 8)
    }

    /// Runs an example to the first thing that is done once all options are understood: the report cannot be created.
    private func check(example: String, of page: String) throws {
        try withTemporaryDirectory { folder in
            var arguments = try words(example)
            if let index = arguments.firstIndex(of: "--config") {
                arguments[index + 1] = "\(folder)/site.yaml"
                try writeFile("\(folder)/site.yaml", Array("read: a\nto: null\n".utf8))
            }
            let result = try spillway(Array(arguments.dropFirst()) + ["--report", "\(folder)/missing/r"])
            expect(result, exits: 73, naming: ["--report"])
        }
    }

    /// The words of a line as the shell takes it apart.
    private func words(_ line: String) throws -> [String] {
        try run("sh", ["-c", "printf '%s\\n' \(line)"]).checked().outputLines
    }

    @Test("The version is a number of three parts that stands in the change log's form")
    func version() throws {
        let version = try spillway(["--version"]).checked().outputLines
        #expect(version.count == 1)
        let parts = try #require(version.first).split(separator: ".", omittingEmptySubsequences: false)
        #expect(parts.count == 3 && parts.allSatisfy { UInt($0) != nil })
    }
}
