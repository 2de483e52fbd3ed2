import Options
import TestSupport
import Testing

@Suite("The command lines of send and receive")
struct SendTests {
    @Test("Every option of the help exists, and every option that exists is in the help")
    func options() throws {
        let flags: Set = ["--sync", "--once"]
        let known = [
            "send": SendOption.allCases.map(\.spelling), "receive": ReceiveOption.allCases.map(\.spelling),
        ]
        for (command, options) in known {
            let help = try spillway([command, "--help"]).checked().outputText
            let listed = Set(help.split { !$0.isLetter && $0 != "-" }.filter { $0.hasPrefix("--") }.map(String.init))
            #expect(listed == Set(options + ["--config", "--help", "--version"]))
            for option in options where !flags.contains(option) {
                expect(try spillway([command, option]), exits: 64, naming: ["Missing value for '"])
            }
        }
    }

    @Test("Every example in the help is a valid command line")
    func examples() throws {
        for command in ["send", "receive"] {
            let lines = try spillway([command, "--help"]).checked().outputLines.map { String($0.drop { $0 == " " }) }
            let examples = lines.filter { $0.hasPrefix("spillway \(command) ") && !$0.contains("[options]") }
            #expect(examples.count == 3)
            try withTemporaryDirectory { folder in
                try writeFile("\(folder)/token", [UInt8](repeating: 1, count: 32))
                for example in examples {
                    let words = example.split(separator: " ").dropFirst().map(String.init)
                    // The last step before work begins is a report that cannot be made.
                    let result = try spillway(words + ["--report", "\(folder)/missing/r"], directory: folder)
                    expect(result, exits: 73, naming: ["--report"])
                }
            }
        }
    }

    @Test(
        "64: what is wrong is named",
        arguments: [
            (["send", "f"], ["--to HOST:PORT"]), (["send", "--to", "h:1"], ["nothing to send"]),
            (["send", "f", "--to", "h"], ["--to h"]), (["send", "f", "--to", "h:1", "--to", "h:1"], ["twice"]),
            (["send", "f", "--to", "h:1", "--rate", "1"], ["--rate 1"]),
            (["send", "f", "--to", "h:1", "--relay", "ring"], ["none, chain, tree"]),
            (["send", "f", "--to", "h:1", "--method", "fast"], ["sendfile, minimum"]),
            (["receive", "--out", "o"], ["--listen"]), (["receive", "--listen", ":1"], ["--out"]),
            (["receive", "--listen", ":1", "--out", "o", "--allow", "x"], ["--allow x"]),
        ] as [([String], [String])])
    func usage(arguments: [String], words: [String]) throws {
        let result = try spillway(arguments)
        expect(result, exits: 64, naming: words)
        #expect(result.output.isEmpty)
    }

    @Test("65, 66, 69, 71 and 73: token, directory, lock and address")
    func failures() throws {
        try withTemporaryDirectory { folder in
            let base = ["receive", "--listen", "127.0.0.1:0"]
            expect(
                try spillway(base + ["--out", "\(folder)/o", "--token-file", "\(folder)/t"]), exits: 66, naming: ["/t"])
            try writeFile("\(folder)/t", [1, 2, 3])
            expect(
                try spillway(["send", "f", "--to", "h:1", "--token-file", "\(folder)/t"]), exits: 65,
                naming: ["32 bytes"])
            expect(try spillway(base + ["--out", "\(folder)/no/o"]), exits: 73, naming: ["\(folder)/no/o"])
            let elsewhere = ["receive", "--listen", "192.0.2.1:0", "--out", "\(folder)/o"]
            expect(try spillway(elsewhere), exits: 71, naming: ["192.0.2.1"])
            try withChild(try builtExecutable("spillway"), base + ["--out", "\(folder)/o"]) { child in
                try child.waitUntil { _, errors in errors.contains("receiving at") }
                expect(try spillway(base + ["--out", "\(folder)/o"]), exits: 69, naming: ["another receiver"])
                child.send(signal: 9)
            }
        }
    }
}
