internal import Pcapng

/// Takes in blocks that a check block vouches for: a new section, or more of the present one.
enum SectionReader {
    struct Outcome {
        var description: RunDescription
        var header: CacheHeader?
        var isNew: Bool
    }

    /// What the section is after these blocks; nil if they make no sense.
    static func read(_ bytes: ArraySlice<UInt8>, continuing section: RunDescription?) -> Outcome? {
        var outcome: Outcome?
        if let section { outcome = Outcome(description: section, header: nil, isNew: false) }
        var isBehindSectionHeader = false
        var rest = bytes
        while !rest.isEmpty {
            guard let block = nextBlock(rest) else { return nil }
            rest = rest.dropFirst(block.count)
            switch type(of: block) {
            case BlockType.sectionHeader:
                isBehindSectionHeader = true
            case BlockType.cacheHeader:
                guard isBehindSectionHeader, let header = try? CacheHeader(block: block) else { return nil }
                outcome = Outcome(description: RunDescription(run: header.run), header: header, isNew: true)
                isBehindSectionHeader = false
            case BlockType.interfaceDescription:
                guard outcome?.description.add(interface: Array(block)) == true else { return nil }
            case BlockType.lane:
                guard outcome?.description.add(lane: Array(block)) == true else { return nil }
            case BlockType.interfaceStatistics:
                guard outcome?.description.add(statistics: Array(block)) == true else { return nil }
            default: break
            }
        }
        return isBehindSectionHeader ? nil : outcome
    }

    private static func type(of block: ArraySlice<UInt8>) -> UInt32 { word(block, 0) }

    private static func word(_ bytes: ArraySlice<UInt8>, _ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[bytes.startIndex + offset + $1]) << UInt32(8 * $1) }
    }

    private static func nextBlock(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard bytes.count >= 12 else { return nil }
        let length = Int(word(bytes, 4))
        guard length >= 12, length % 4 == 0, length <= bytes.count, Int(word(bytes, length - 4)) == length
        else { return nil }
        return bytes.prefix(length)
    }
}
