import ArgumentParser
import Options

// The options of `spillway collect`, in the groups in which the help shows them.

struct ReceivingArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Wait here for relays; the port is 57012 if none is given (several allowed).", valueName: "addr:port"))
    var listen: [String] = []

    @Option(
        help: ArgumentHelp(
            "Let only these addresses connect, such as 192.0.2.0/24 (several allowed).", valueName: "cidr"))
    var allow: [String] = []

    @Option(
        name: .customLong("token-file"),
        help: ArgumentHelp("Take only sensors that have the same token: a file of 32 random bytes.", valueName: "file"))
    var tokenFile: String?

    @Option(
        help: ArgumentHelp(
            "When a batch is acknowledged: received, once it is written, or durable, once it is on disk "
                + "(default: received).", valueName: "when"))
    var ack: String?
}

struct FilesArguments: ParsableArguments {
    @Option(help: ArgumentHelp("The directory of the files; it is made if it is not there.", valueName: "dir"))
    var out: String?

    @Option(
        name: .customLong("rotate-size"),
        help: ArgumentHelp("Finish a file at this size (default: 256M).", valueName: "size"))
    var rotateSize: String?

    @Option(
        name: .customLong("rotate-time"),
        help: ArgumentHelp(
            "One file for each such span of packet time, finished when nothing has come for it for as long "
                + "(default: 1m).", valueName: "time"))
    var rotateTime: String?
}

struct CollectWatchingArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Serve OpenMetrics text over HTTP here.", valueName: "addr:port"))
    var metrics: String?
}

extension Collect {
    /// What the command line gives for each option.
    var given: [CollectOption: [String]] {
        let values: [CollectOption: String?] = [
            .tokenFile: receiving.tokenFile, .ack: receiving.ack, .out: files.out, .rotateSize: files.rotateSize,
            .rotateTime: files.rotateTime, .metrics: watching.metrics, .report: result.report,
        ]
        var given = values.compactMapValues { $0.map { [$0] } }
        given[.listen] = receiving.listen
        given[.allow] = receiving.allow
        return given
    }
}
