import Options
import TestSupport
import Testing

@Suite("The command lines of inspect and replay")
struct InspectReplayTests {
    static let flags: Set<String> = ["check", "repair", "json"]

    @Test(
        "Every option of the help exists, and every option that exists is in the help",
        arguments: ["inspect", "replay"])
    func options(command: String) throws {
        let help = try spillway([command, "--help"]).checked().outputText
        let listed = Set(help.split { !$0.isLetter && $0 != "-" }.filter { $0.hasPrefix("--") }.map(String.init))
        let names =
            command == "inspect" ? InspectOption.allCases.map(\.rawValue) : ReplayOption.allCases.map(\.rawValue)
        #expect(listed == Set(names.map { "--\($0)" } + ["--config", "--help", "--version"]))
        for name in names where !Self.flags.contains(name) {
            expect(try spillway([command, "x", "--\(name)"]), exits: 64, naming: ["Missing value for '"])
        }
    }

    @Test("Every example in the help is a valid command line", arguments: [("inspect", 4), ("replay", 5)])
    func examples(command: String, count: Int) throws {
        let lines = try spillway([command, "--help"]).checked().outputLines.map { String($0.drop { $0 == " " }) }
        let examples = lines.filter { $0.hasPrefix("spillway \(command) ") && !$0.contains("[") }
        #expect(examples.count == count)
        try withTemporaryDirectory { folder in
            for name in ["capture.pcapng", "a.pcap", "b.pcap"] { try writeFile("\(folder)/\(name)", []) }
            for example in examples {
                let words = example.split(separator: " ").dropFirst().map {
                    $0.hasPrefix("/var/lib") ? folder : String($0)
                }
                // The last step before work begins is a report that cannot be made.
                let result = try spillway(words + ["--report", "missing/r"], directory: folder)
                expect(result, exits: 73, naming: ["--report"])
            }
        }
    }

    @Test(
        "64: what is wrong is named, and nothing goes to standard output",
        arguments: [
            (["inspect"], ["dir"]), (["inspect", "d", "--check", "--repair"], ["--check and --repair"]),
            (["inspect", "d", "--json", "--report", "-"], ["--json", "--report"]),
            (["replay"], ["nothing to replay"]), (["replay", "f"], ["nowhere to replay", "-i", "--to"]),
            (["replay", "f", "-i", "e", "--to", "h:1"], ["-i and --to"]),
            (["replay", "f", "-i", "e", "--pace", "fast"], ["--pace fast", "2x"]),
            (["replay", "f", "-i", "e", "--pace", "0x"], ["--pace 0x"]),
            (["replay", "-", "-i", "e", "--loop", "2"], ["--loop"]),
            (["replay", "f", "--to", "h:1", "--loop", "2"], ["--loop 2", "-i"]),
            (["replay", "f", "-i", "e", "--token-file", "t"], ["--token-file t", "--to"]),
            (["replay", "f", "-i", "e", "--transmit", "magic"], ["--transmit magic", "af-packet"]),
            (["replay", "/", "-i", "lo"], ["/: a directory", "--export"]),
        ] as [([String], [String])])
    func usage(arguments: [String], words: [String]) throws {
        let result = try spillway(arguments)
        expect(result, exits: 64, naming: words)
        #expect(result.output.isEmpty)
    }
}
