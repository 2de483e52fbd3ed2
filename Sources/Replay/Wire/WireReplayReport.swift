public import Telemetry

/// What became of the packets that were to go out of an interface.
public struct WireReplayReport: Sendable {
    /// The interface, and how it was sent through.
    public var interface = "", mode = TransmitMode.packetSocket
    /// Packets of the input, each loop counted.
    public var packets: UInt64 = 0
    /// Packets and bytes that the kernel took; packets that the driver threw away are not among them.
    public var sent: UInt64 = 0, sentBytes: UInt64 = 0
    /// Packets of which only the captured beginning could be sent.
    public var snapped: UInt64 = 0
    /// Packets that were not sent: longer than the interface takes, shorter than an Ethernet header, of another link type.
    public var tooLarge: UInt64 = 0, tooShort: UInt64 = 0, otherLinkType: UInt64 = 0
    /// Packets that the driver threw away.
    public var dropped: UInt64 = 0
    /// How often the input was gone through, whole or in part.
    public var loops: UInt64 = 0
    /// From the first packet to the last.
    public var seconds = 0.0
    /// How late packets were, nanoseconds: the latest one, and the mean.
    public var latestBy: UInt64 = 0, lateMean: UInt64 = 0
    /// CPU time of the sending thread, nanoseconds.
    public var cpu: UInt64 = 0
    /// What was wrong with the input, or ended the sending.
    public var problems: [String] = []

    /// Lines for people.
    public var lines: [String] {
        let rate = seconds > 0 ? UInt64(Double(sent) / seconds) : 0
        var lines = [
            "\(sent) of \(packets) packets sent out of \(interface) by \(mode.rawValue), \(sentBytes) bytes in "
                + "\((seconds * 1000).rounded() / 1000) s, \(rate) per second; at most \(latestBy / 1000) us late"
        ]
        let reasons: [(UInt64, String)] = [
            (snapped, "were cut when they were captured and went out as short as they are"),
            (tooLarge, "are longer than the interface takes, and were left out"),
            (tooShort, "are shorter than an Ethernet header, and were left out"),
            (otherLinkType, "have another link type than Ethernet, and were left out"),
            (dropped, "were thrown away by the driver"),
        ]
        for (count, reason) in reasons where count > 0 { lines.append("\(count) \(reason)") }
        return lines
    }

    /// The report as JSON.
    public var json: JSONValue {
        .object([
            ("interface", .string(interface)), ("transmit", .string(mode.rawValue)), ("seconds", .fraction(seconds)),
            ("loops", .number(loops)), ("packets", .number(packets)), ("sent", .number(sent)),
            ("sent_bytes", .number(sentBytes)), ("snapped", .number(snapped)),
            (
                "skipped",
                .object([
                    ("too_large", .number(tooLarge)), ("too_short", .number(tooShort)),
                    ("link_type", .number(otherLinkType)),
                ])
            ),
            ("dropped", .object([("driver", .number(dropped))])),
            ("late_max_us", .fraction(Double(latestBy) / 1000)), ("late_mean_us", .fraction(Double(lateMean) / 1000)),
            ("cpu_ns_per_packet", .fraction(sent > 0 ? Double(cpu) / Double(sent) : 0)),
            ("problems", .array(problems.map(JSONValue.string))),
        ])
    }
}
