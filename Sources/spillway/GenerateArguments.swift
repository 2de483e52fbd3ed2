import ArgumentParser
import Options

// The options of `spillway generate`, in the groups in which the help shows them.

struct SendingArguments: ParsableArguments {
    @Option(
        name: [.customShort("i", allowingJoined: true), .customLong("interface")],
        help: ArgumentHelp("Send out of this interface.", valueName: "iface"))
    var interface: String?

    @Option(
        help: ArgumentHelp("How fast: max, or a rate such as 100Kpps or 2.5Gbps (default: max).", valueName: "rate"))
    var rate: String?

    @Option(
        name: [.customShort("c", allowingJoined: true), .customLong("count")],
        help: ArgumentHelp("End after this many packets.", valueName: "packets"))
    var count: String?

    @Option(help: ArgumentHelp("End after this time.", valueName: "time"))
    var duration: String?
}

struct PacketArguments: ParsableArguments {
    @Option(help: ArgumentHelp("udp, or tcp: SYN, data and FIN of connections (default: udp).", valueName: "name"))
    var `protocol`: String?

    @Option(help: ArgumentHelp("The version of IP, 4 or 6 (default: 4).", valueName: "version"))
    var ip: String?

    @Option(help: ArgumentHelp("Data segments of each TCP connection (default: 10).", valueName: "n"))
    var segments: String?

    @Option(
        help: ArgumentHelp(
            """
            Bytes of each packet: one size, a range such as 64-1500, or imix, 7 of 60, 4 of 590 and 1 of 1514 \
            (default: 64, or what the headers need).
            """, valueName: "bytes"))
    var size: String?

    @Option(help: ArgumentHelp("How many flows, up to 1048576 (default: 1).", valueName: "n"))
    var flows: String?

    @Option(help: ArgumentHelp("VLAN identifier, or two, the outer one first: 100,200.", valueName: "id"))
    var vlan: String?

    @Option(
        help: ArgumentHelp(
            """
            Send packets in fragments: in-order, shuffled, overlapping by 8 bytes, or incomplete, with one missing of \
            each packet.
            """, valueName: "how"))
    var fragments: String?

    @Option(
        name: .customLong("fragment-size"),
        help: ArgumentHelp("Bytes of IP payload in a fragment, a multiple of 8 (default: 512).", valueName: "bytes"))
    var fragmentSize: String?

    @Option(
        name: .customLong("destination-mac"),
        help: ArgumentHelp("Where frames go (default: 02:00:5e:10:00:02, nobody).", valueName: "address"))
    var destinationMAC: String?
}

extension Generate {
    /// What the command line gives for each option.
    var given: [GenerateOption: [String]] {
        let values: [GenerateOption: String?] = [
            .interface: sending.interface, .rate: sending.rate, .count: sending.count, .duration: sending.duration,
            .protocol: packets.protocol, .ip: packets.ip, .segments: packets.segments, .size: packets.size,
            .flows: packets.flows, .vlan: packets.vlan, .fragments: packets.fragments,
            .fragmentSize: packets.fragmentSize, .destinationMAC: packets.destinationMAC, .report: result.report,
        ]
        return values.compactMapValues { $0.map { [$0] } }
    }
}
