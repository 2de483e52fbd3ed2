import TestSupport

/// What is in a pcapng file of one section, read block by block by the test itself.
struct PlainPcapng {
    var packets: [SamplePacket] = []
    /// Names of the interfaces.
    var interfaces: [String] = []
    /// For each statistics block: the interface, and its options of 64 bits.
    var statistics: [(interface: UInt32, options: [UInt16: UInt64])] = []
    /// Types of all blocks.
    var types: [UInt32] = []

    init(_ bytes: [UInt8]) throws {
        let reader = ByteReader(bytes)
        var offset = 0
        while offset < bytes.count {
            guard offset + 12 <= bytes.count else { throw PlainProblem(reason: "a block cut at \(offset)") }
            let (type, length) = (reader.word(offset), Int(reader.word(offset + 4)))
            guard length >= 12, length % 4 == 0, offset + length <= bytes.count,
                Int(reader.word(offset + length - 4)) == length
            else { throw PlainProblem(reason: "a block of length \(length) at \(offset)") }
            types.append(type)
            switch type {
            case 1: interfaces.append(Self.name(Array(bytes[(offset + 16)..<(offset + length - 4)])))
            case 6:
                let captured = Int(reader.word(offset + 20))
                guard Int(reader.word(offset + 8)) < interfaces.count else {
                    throw PlainProblem(reason: "an interface that was not described")
                }
                packets.append(
                    SamplePacket(
                        time: UInt64(reader.word(offset + 12)) << 32 | UInt64(reader.word(offset + 16)),
                        original: reader.word(offset + 24), interface: reader.word(offset + 8),
                        bytes: Array(bytes[(offset + 28)..<(offset + 28 + captured)])))
            case 5:
                statistics.append(
                    (
                        reader.word(offset + 8),
                        Self.numbers(Array(bytes[(offset + 20)..<(offset + length - 4)]))
                    ))
            default: break
            }
            offset += length
        }
    }

    private static func name(_ options: [UInt8]) -> String {
        let length = Int(options[2]) | Int(options[3]) << 8
        return options[0] == 2 ? String(decoding: options[4..<(4 + length)], as: UTF8.self) : ""
    }

    private static func numbers(_ options: [UInt8]) -> [UInt16: UInt64] {
        let reader = ByteReader(options)
        var found: [UInt16: UInt64] = [:]
        var offset = 0
        while offset + 4 <= options.count, reader.half(offset) != 0 {
            let (code, length) = (reader.half(offset), Int(reader.half(offset + 2)))
            if length == 8 { found[code] = reader.long(offset + 4) }
            offset += 4 + (length + 3) & ~3
        }
        return found
    }
}

struct PlainProblem: Error { let reason: String }
