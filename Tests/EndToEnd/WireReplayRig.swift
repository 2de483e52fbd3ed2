import Glibc
import TestSupport
import Testing

/// `tcpdump` at the other end of a veth pair.
struct Wiretap {
    private let child: ChildProcess
    private let path: String

    /// Starts to write what arrives at an interface into a file; it listens when this returns.
    init(_ interface: String, in space: NetworkNamespace, to path: String) throws {
        try requireTool("tcpdump")
        self.path = path
        let command = space.inside(
            "tcpdump",
            [
                "-i", interface, "-w", path, "-U", "--immediate-mode", "-B", "65536", "-Z", "root",
                "--time-stamp-precision=nano", "-Q", "in",
            ])
        child = try ChildProcess(command.tool, command.arguments)
        try child.waitUntil { _, errors in errors.contains("listening on") }
    }

    /// Waits until so many packets are in the file, and gives all of them.
    func packets(_ count: Int) throws -> [Packet] {
        try waitUntil("\(count) packets at tcpdump") { try read().count >= count }
        child.send(signal: SIGINT, toGroup: true)
        _ = try child.wait()
        return try read()
    }

    /// Whole packets of the file, which is classic pcap with nanoseconds.
    private func read() throws -> [Packet] {
        guard let bytes = try? readFile(path), bytes.count >= 24 else { return [] }
        let reader = ByteReader(bytes)
        var packets: [Packet] = []
        var offset = 24
        while offset + 16 <= bytes.count {
            let captured = Int(reader.word(offset + 8))
            guard offset + 16 + captured <= bytes.count else { break }
            packets.append(
                Packet(
                    time: UInt64(reader.word(offset)) * 1_000_000_000 + UInt64(reader.word(offset + 4)),
                    original: reader.word(offset + 12), bytes: Array(bytes[(offset + 16)..<(offset + 16 + captured)])))
            offset += 16 + captured
        }
        return packets
    }
}

/// How a replay onto a wire ended.
struct WireReplayResult {
    let command: CommandResult
    let report: JSON?

    func count(_ path: String...) -> UInt64? { path.reduce(report) { $0?[$1] }?.count }
}

extension NetworkNamespace {
    /// Runs `spillway replay ... -i left` in the namespace to its end.
    func replay(_ arguments: [String], folder: String, interface: String = "left") throws -> WireReplayResult {
        let report = "\(folder)/report-\(UInt32.random(in: 0 ... .max)).json"
        let command = inside(
            try builtExecutable("spillway"), ["replay"] + arguments + ["-i", interface, "--report", report])
        let result = try run(
            command.tool, command.arguments, environment: withoutOwnVariables(), timeLimit: .seconds(60))
        return WireReplayResult(command: result, report: try? JSON(readFile(report)))
    }
}

/// A pcapng file of Ethernet packets with these times and bytes.
func nanosecondFile(_ packets: [Packet]) -> [UInt8] {
    var builder = PcapngBuilder()
    builder.section(.little)
    builder.interface(linkType: 1, resolution: 9)
    for packet in packets { builder.enhanced(0, units: packet.time, packet.bytes, original: packet.original) }
    return builder.built("capture").bytes
}
