import Options
import TestSupport
import Testing

@Suite("The command lines of send and receive")
struct SendTests {
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
