import ArgumentParser
import Options

// The options of `spillway send`, in the groups in which the help shows them.

struct FileSendingArguments: ParsableArguments {
    @Option(help: ArgumentHelp("A receiver (several allowed).", valueName: "host:port"))
    var to: [String] = []

    @Option(
        help: ArgumentHelp(
            "How to send: sendfile, without copying; or minimum, with one system call per receiver and one per file "
                + "(default: sendfile).", valueName: "method"))
    var method: String?

    @Option(
        help: ArgumentHelp(
            "Let receivers pass on what they get, so that it leaves here about once: chain, each to the next; or tree, "
                + "each to two (default: none).", valueName: "shape"))
    var relay: String?

    @Option(help: ArgumentHelp("At most so many bytes per second to all receivers together.", valueName: "size"))
    var rate: String?

    @Option(
        name: .customLong("peer-rate"),
        help: ArgumentHelp("At most so many bytes per second to each receiver.", valueName: "size"))
    var peerRate: String?

    @Option(
        help: ArgumentHelp(
            "Give up a receiver that makes no progress for so long; until then it is tried again (default: 30s).",
            valueName: "time"))
    var timeout: String?

    @Option(
        name: .customLong("token-file"),
        help: ArgumentHelp(
            "Send only to receivers that have the same token: a file of 32 random bytes.", valueName: "file"))
    var tokenFile: String?
}

extension Send {
    /// What the command line gives for each option.
    var given: [SendOption: [String]] {
        let values: [SendOption: String?] = [
            .method: sending.method, .relay: sending.relay, .rate: sending.rate, .peerRate: sending.peerRate,
            .timeout: sending.timeout,
            .tokenFile: sending.tokenFile, .report: result.report,
        ]
        var given = values.compactMapValues { $0.map { [$0] } }
        given[.to] = sending.to
        return given
    }
}
