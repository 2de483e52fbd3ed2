import TestSupport

/// A packet in a finished file: what it must have kept of the record, with the name of its interface.
struct CollectedPacket: Hashable {
    var time: UInt64
    var original: UInt32
    var interface: String
    var bytes: [UInt8]
}

/// A finished file, taken apart by the rules of pcapng and docs/format.md and nothing else.
struct CollectedFile {
    let name: String
    var packets: [CollectedPacket] = []
    var interfaces: [String] = []
    var statistics: [UInt32] = []

    init(_ path: String) throws {
        name = String(path[path.index(after: path.lastIndex(of: "/")!)...])
        let bytes = try readFile(path)
        func number<Number: FixedWidthInteger>(_ place: Int) -> Number {
            (0..<Number.bitWidth / 8).reduce(0) { $0 | Number(bytes[place + $1]) << Number(8 * $1) }
        }
        var offset = 0
        while offset < bytes.count {
            guard offset + 12 <= bytes.count else { throw ProtocolProblem("\(name): an incomplete block") }
            let type: UInt32 = number(offset)
            let length = Int(number(offset + 4) as UInt32)
            guard length >= 12, length % 4 == 0, offset + length <= bytes.count,
                number(offset + length - 4) as UInt32 == UInt32(length)
            else { throw ProtocolProblem("\(name): a block of length \(length) at \(offset)") }
            switch type {
            case 0x0a0d_0d0a: guard offset == 0 else { throw ProtocolProblem("\(name): a second section") }
            case 1:
                guard packets.isEmpty else { throw ProtocolProblem("\(name): an interface behind a packet") }
                let count = Int(number(offset + 18) as UInt16)
                interfaces.append(String(decoding: bytes[offset + 20..<offset + 20 + count], as: UTF8.self))
            case 5: statistics.append(number(offset + 8))
            case 6:
                guard statistics.isEmpty else { throw ProtocolProblem("\(name): a packet behind the statistics") }
                let interface = Int(number(offset + 8) as UInt32)
                guard interface < interfaces.count else { throw ProtocolProblem("\(name): interface \(interface)") }
                let captured = Int(number(offset + 20) as UInt32)
                let (high, low): (UInt32, UInt32) = (number(offset + 12), number(offset + 16))
                packets.append(
                    CollectedPacket(
                        time: UInt64(high) << 32 | UInt64(low), original: number(offset + 24),
                        interface: interfaces[interface],
                        bytes: Array(bytes[offset + 28..<offset + 28 + captured])))
            default: throw ProtocolProblem("\(name): a block of type \(type)")
            }
            offset += length
        }
        guard zip(packets, packets.dropFirst()).allSatisfy({ $0.time <= $1.time }) else {
            throw ProtocolProblem("\(name): packets are not in order of time")
        }
    }

    /// All finished files of a directory.
    static func all(in folder: String) throws -> [CollectedFile] {
        try directoryEntries(folder).filter { $0.hasSuffix(".pcapng") }.map { try CollectedFile("\(folder)/\($0)") }
    }
}

/// How often each packet is in some files, less how often it must be: nothing but zeros if the files are right.
func difference(_ files: [CollectedFile], _ batches: [SampleBatch]) -> String? {
    var balance: [CollectedPacket: Int] = [:]
    for packet in files.flatMap(\.packets) { balance[packet, default: 0] += 1 }
    for packet in batches.flatMap({ batch in batch.packets }) {
        let collected = CollectedPacket(
            time: packet.time, original: packet.original, interface: "eth\(packet.interface)", bytes: packet.bytes)
        balance[collected, default: 0] -= 1
    }
    let (more, missing) = (balance.values.filter { $0 > 0 }.count, balance.values.filter { $0 < 0 }.count)
    return more + missing == 0 ? nil : "\(more) packets too often, \(missing) missing"
}
