public import Pcapng

/// The Interface Statistics Blocks at the end of a finished file, one for each interface.
///
/// Received and dropped are what the sensor said last, which is counted from the start of its run; if several runs have the
/// interface, their sum. Delivered (isb_usrdeliv) are the packets of this very file.
public struct FileStatistics {
    /// The blocks, in the order of the interfaces.
    public let blocks: [[UInt8]]

    /// Puts together what is known of each interface.
    ///
    /// - Parameters:
    ///   - known: the latest statistics block by run, and by interface of the file.
    ///   - packets: packets in the file, by interface of the file.
    ///   - first: when counting began, unless a block says earlier; nanoseconds since 1970 UTC.
    ///   - last: when it ended, unless a block says later.
    public init(_ known: [RunIdentity: [UInt32: [UInt8]]], packets: [UInt64], first: UInt64, last: UInt64) {
        blocks = packets.enumerated().map { place, count in
            var sums: [UInt16: UInt64] = [:]
            var (start, end) = (first, last)
            for interfaces in known.values {
                guard let block = interfaces[UInt32(place)] else { continue }
                for (code, value) in Self.options(block) {
                    switch code {
                    case 2: start = min(start, value)
                    case 3: end = max(end, value)
                    case 4...7: sums[code] = (sums[code] ?? 0) &+ value
                    default: break
                    }
                }
            }
            return Self.block(UInt32(place), start, end, sums, delivered: count)
        }
    }

    /// The options with a value of 64 bits; times are put together from their halves.
    private static func options(_ block: [UInt8]) -> [(UInt16, UInt64)] {
        var source = ByteSource(block.dropFirst(20).dropLast(4))
        var options: [(UInt16, UInt64)] = []
        while source.remaining >= 4, let code: UInt16 = try? source.number(), code != 0,
            let count: UInt16 = try? source.number(), var value = try? source.take((Int(count) + 3) & ~3)
        {
            guard count == 8 else { continue }
            var number = ByteSource(value)
            guard var word: UInt64 = try? number.number() else { continue }
            // isb_starttime and isb_endtime: the upper half first.
            if code == 2 || code == 3 { word = word << 32 | word >> 32 }
            options.append((code, word))
            value = []
        }
        return options
    }

    private static func block(
        _ interface: UInt32, _ start: UInt64, _ end: UInt64, _ sums: [UInt16: UInt64], delivered: UInt64
    ) -> [UInt8] {
        func halves(_ time: UInt64) -> [UInt8] {
            let word = time << 32 | time >> 32
            return (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) }
        }
        var out = BlockBuilder()
        out.block(BlockType.interfaceStatistics) { body in
            body.append(interface)
            body.append(bytes: halves(end)[...])
            body.option(2, halves(start))
            body.option(3, halves(end))
            for code in sums.keys.sorted() { body.option(code, number: sums[code]!) }
            body.option(8, number: delivered)
            body.endOfOptions()
        }
        return out.bytes
    }
}
