import Options
import TestSupport
import Testing

@Suite("The command line of collect")
struct CollectTests {
    @Test(
        "64: what is wrong is named, and nothing goes to standard output",
        arguments: [
            (["collect"], ["nowhere to listen", "--listen", "help collect"]),
            (["collect", "--listen", ":1"], ["--out"]),
            (["collect", "--listen", "1", "--out", "o"], ["--listen 1", "ADDR:PORT"]),
            (["collect", "--listen", ":1", "--listen", ":1", "--out", "o"], ["twice"]),
            (["collect", "--listen", ":1", "--out", "o", "--ack", "maybe"], ["--ack maybe", "received, durable"]),
            (["collect", "--listen", ":1", "--out", "o", "--rotate-time", "5ms"], ["--rotate-time 5ms"]),
            (["collect", "--listen", ":1", "--out", "o", "--rotate-size", "1"], ["--rotate-size 1"]),
            (["collect", "--listen", ":1", "--out", "o", "--allow", "192.0.2.1/24"], ["--allow 192.0.2.1/24"]),
            (["collect", "--listen", ":1", "--out", "o", "--allow", "x"], ["--allow x", "192.0.2.0/24"]),
        ] as [([String], [String])])
    func usage(arguments: [String], words: [String]) throws {
        let result = try spillway(arguments)
        expect(result, exits: 64, naming: words)
        #expect(result.output.isEmpty)
    }

    @Test("66, 65, 73 and 71: token, directory and address")
    func failures() throws {
        try withTemporaryDirectory { folder in
            let base = ["collect", "--listen", "127.0.0.1:0"]
            expect(
                try spillway(base + ["--out", "\(folder)/o", "--token-file", "\(folder)/t"]), exits: 66,
                naming: ["\(folder)/t"])
            try writeFile("\(folder)/t", [1, 2, 3])
            expect(
                try spillway(base + ["--out", "\(folder)/o", "--token-file", "\(folder)/t"]), exits: 65,
                naming: ["\(folder)/t", "32 bytes"])
            expect(try spillway(base + ["--out", "\(folder)/no/o"]), exits: 73, naming: ["\(folder)/no/o"])
            try writeFile("\(folder)/file", [1])
            expect(try spillway(base + ["--out", "\(folder)/file"]), exits: 73, naming: ["\(folder)/file"])
            let elsewhere = ["collect", "--listen", "192.0.2.1:0", "--out", "\(folder)/o"]
            expect(try spillway(elsewhere), exits: 71, naming: ["192.0.2.1"])
            let point = try spillway(base + ["--out", "\(folder)/o"], environment: ["SPILLWAY_CRASH_AT": "nowhere"])
            expect(point, exits: 64, naming: ["SPILLWAY_CRASH_AT=nowhere", "sealRenamed"])
        }
    }
}
