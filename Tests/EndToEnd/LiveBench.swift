import Glibc
import TestSupport
import Testing

extension NetworkNamespace {
    /// Waits until this many packet sockets take every packet of an interface: only then does a capture see all.
    func waitForCaptures(_ count: Int = 1) throws {
        try waitUntil("\(count) captures") {
            try enter { try readFile("/proc/thread-self/net/packet") }.split(separator: 10).count { line in
                let columns = line.split(separator: 32)
                return columns.count > 3 && columns[3].elementsEqual("0003".utf8)
            } >= count
        }
    }

    /// Waits until the worker of a run with `--metrics` has taken all that capture did not lose.
    func waitUntilTaken(_ count: Int, by running: RunningRelay) throws {
        let port = try running.port(after: "metrics at http://")
        let command = inside("curl", ["-sS", "--max-time", "10", "http://127.0.0.1:\(port)/metrics"])
        try waitUntil("\(count) packets are accounted for") {
            let text = try TestSupport.run(command.tool, command.arguments).checked().outputText
            let lines = text.split(separator: "\n").filter { line in
                line.hasPrefix("spillway_received_packets_total")
                    || (line.hasPrefix("spillway_dropped_packets_total")
                        && ["kernel", "ring", "fill_ring_empty"].contains { line.contains("reason=\"\($0)\"") })
            }
            return lines.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +) == count
        }
    }

    /// A TCP reader inside.
    func reader(_ manner: Reader.Manner = .reading, receiveBuffer: CInt? = nil) throws -> Reader {
        try enter { try Reader(manner, receiveBuffer: receiveBuffer) }
    }

    /// Sends numbered frames from one end of the pair to the other.
    func send(_ numbers: Range<Int>, from interface: String = "left", size: Int = 200) throws {
        let sender = try enter { try FrameSender(interface) }
        for number in numbers { try sender.send(liveFrame(number, size: size)) }
    }

    /// A relay that captures inside through packet sockets, once it does.
    func relay(_ arguments: [String], captures: Int = 1) throws -> RunningRelay {
        let packetSockets = arguments.contains("--capture") ? [] : ["--capture", "af-packet"]
        let running = try RunningRelay(arguments + packetSockets, namespace: self)
        do {
            try waitForCaptures(captures)
        } catch {
            throw Unexpected("\(error)\n\(running.child.errorText)")
        }
        return running
    }
}

/// The frame of a number: one template whose payload begins with the number, for many of them are sent.
func liveFrame(_ number: Int, size: Int = 200) -> [UInt8] {
    var frame = size == 200 ? smallTemplate : numberedFrame(0, size: size)
    for place in 0..<4 { frame[42 + place] = UInt8(truncatingIfNeeded: number >> (24 - 8 * place)) }
    return frame
}

private let smallTemplate = numberedFrame(0, size: 200)

/// Checks that live packets are these frames, each once, whole, at times between the two.
func expectFrames(
    _ packets: [Packet], _ numbers: some Sequence<Int>, size: Int = 200,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    func withoutTime(_ packet: Packet) -> Packet { Packet(time: 0, original: packet.original, bytes: packet.bytes) }
    let expected = numbers.map { number in
        let frame = liveFrame(number, size: size)
        return Packet(time: 0, original: UInt32(frame.count), bytes: frame)
    }
    expectSame(packets.map(withoutTime), expected, "frames", sourceLocation: sourceLocation)
}

/// Nanoseconds since 1970, now.
func realtime() -> UInt64 {
    var now = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// Ends a live run by a signal and waits.
func stop(_ running: RunningRelay, by signal: CInt = SIGTERM) throws -> RelayResult {
    running.child.send(signal: signal)
    return try running.finish()
}
