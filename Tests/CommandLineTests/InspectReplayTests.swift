import Options
import TestSupport
import Testing

@Suite("The command lines of inspect and replay")
struct InspectReplayTests {
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
            (["replay", "/", "/", "-i", "lo"], ["/: a cache is replayed alone"]),
        ] as [([String], [String])])
    func usage(arguments: [String], words: [String]) throws {
        let result = try spillway(arguments)
        expect(result, exits: 64, naming: words)
        #expect(result.output.isEmpty)
    }
}
