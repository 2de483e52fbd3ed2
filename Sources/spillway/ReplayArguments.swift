import ArgumentParser
import Options

// The options of `spillway replay`, in the groups in which the help shows them.

struct WireArguments: ParsableArguments {
    @Option(
        name: [.customShort("i", allowingJoined: true), .customLong("interface")],
        help: ArgumentHelp("Put the packets on the wire, out of this interface.", valueName: "iface"))
    var interface: String?

    @Option(
        help: ArgumentHelp(
            "How fast: recorded, a factor of that such as 2x or 0.5x, top, or a rate such as 100Kpps or 2.5Gbps "
                + "(default: recorded with -i).", valueName: "pace"))
    var pace: String?

    @Option(help: ArgumentHelp("How often all of it is sent, 0 for without end (default: 1).", valueName: "times"))
    var loop: String?

    @Option(
        name: [.customShort("c", allowingJoined: true), .customLong("count")],
        help: ArgumentHelp("End after this many packets.", valueName: "packets"))
    var count: String?

    @Option(
        help: ArgumentHelp(
            "How frames get out: xdp-zerocopy, xdp-copy, af-packet, or auto, the first of them that works "
                + "(default: auto).", valueName: "mode"))
    var transmit: String?
}

struct StreamArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Send to this destination, with the settings of 'spillway run --to' (several allowed).",
            valueName: "host:port"))
    var to: [String] = []

    @Option(
        name: .customLong("token-file"),
        help: ArgumentHelp("Send only to collectors that have the same token: a file of 32 bytes.", valueName: "file"))
    var tokenFile: String?

    @Option(
        help: ArgumentHelp(
            "The sensor's name (default: that of the cache, or the host's for capture files).", valueName: "name"))
    var name: String?

    @Option(
        name: .customLong("drain-timeout"),
        help: ArgumentHelp("Give a destination up after this time without progress (default: 10s).", valueName: "time"))
    var drainTimeout: String?
}

extension Replay {
    /// What the command line gives for each option.
    var given: [ReplayOption: [String]] {
        let values: [ReplayOption: String?] = [
            .interface: wire.interface, .pace: wire.pace, .loop: wire.loop, .count: wire.count,
            .transmit: wire.transmit, .tokenFile: stream.tokenFile, .name: stream.name,
            .drainTimeout: stream.drainTimeout, .report: result.report,
        ]
        var given = values.compactMapValues { $0.map { [$0] } }
        given[.to] = stream.to
        return given
    }
}
