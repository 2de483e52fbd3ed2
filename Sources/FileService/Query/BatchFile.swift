internal import CSending
internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache

/// What of a file that Spillway wrote (docs/format.md) a query has to look at: its batches, and the blocks between them.
///
/// Of a sealed cache file the footer tells where the batches of some time lie; of any other file all of it is walked.
struct BatchFile {
    /// In the order of the file, with gaps where no batch is of the times asked for.
    let parts: [BatchWalk.Part]

    /// Nil if the file is not wholly of that kind: written by somebody else, or broken off in the middle of a batch.
    init?(_ file: OpenFile, times: ClosedRange<UInt64>) {
        guard Self.isSection(file) else { return nil }
        if let footer = CacheReader.footer(ofOpen: file.descriptor, size: file.length),
            let parts = Self.parts(file, footer, times)
        {
            self.parts = parts
        } else if let parts = Self.allParts(file) {
            self.parts = parts
        } else {
            return nil
        }
    }

    /// Packet times of all batches of a file; nil if it is not wholly of batches, or has none. Of a sealed cache file that is
    /// one read.
    static func times(of file: OpenFile) -> ClosedRange<UInt64>? {
        guard isSection(file) else { return nil }
        if let summary = CacheReader.summary(ofOpen: file.descriptor, size: file.length) {
            let times = summary.times
            return summary.batches > 0 && times.leastTime <= times.greatestTime
                ? times.leastTime...times.greatestTime : nil
        }
        let batches = (allParts(file) ?? []).filter { $0.type == BlockType.batchTrailer }
        guard let least = batches.map(\.least).min(), let greatest = batches.map(\.greatest).max(), least <= greatest
        else { return nil }
        return least...greatest
    }

    private static func isSection(_ file: OpenFile) -> Bool {
        BatchWalk.word(file, at: 0) == BlockType.sectionHeader && BatchWalk.word(file, at: 8) == 0x1A2B_3C4D
    }

    /// All of a file. One that is being written may end in the middle of a batch for as long as one write takes.
    private static func allParts(_ file: OpenFile) -> [BatchWalk.Part]? {
        var length = file.length
        for attempt in 0..<4 {
            switch BatchWalk.parts(of: file, 0..<length) {
            case .parts(let parts): return parts.contains { $0.type == BlockType.batchTrailer } ? parts : nil
            case .foreign: return nil
            case .torn:
                // A file that nobody has touched for a while is not being written.
                guard attempt < 3, Clock.realtime() < file.modified &+ 2_000_000_000 else { return nil }
                Clock.sleep(nanoseconds: 500_000)
                length = file.lengthNow
            }
        }
        return nil
    }

    // ---- by the footer -------------------------------------------------------------------------------------------

    /// What lies in front of the first batch, and the steps of the index that hold batches of these times. Nil if that is
    /// not enough to understand them.
    private static func parts(
        _ file: OpenFile, _ footer: CacheFooter, _ times: ClosedRange<UInt64>
    ) -> [BatchWalk.Part]? {
        guard footer.summary.sections == 1, let first = footer.index.first else { return nil }
        var parts: [BatchWalk.Part] = []
        func add(_ piece: Range<UInt64>) -> Bool {
            guard case .parts(let more) = BatchWalk.parts(of: file, piece) else { return false }
            parts += more
            return true
        }
        guard add(0..<first.offset) else { return nil }
        for (place, step) in footer.index.enumerated() {
            guard step.times.leastTime <= times.upperBound, step.times.greatestTime >= times.lowerBound else {
                continue
            }
            let isLast = place + 1 == footer.index.count
            let end = isLast ? footer.summary.footerOffset : footer.index[place + 1].offset
            guard step.offset < end, add(step.offset..<end) else { return nil }
        }
        return explain(parts, file) ? parts : nil
    }

    /// Whether every batch among these parts finds its interfaces and its lane among them: they may have been described in a
    /// part that was left out.
    private static func explain(_ parts: [BatchWalk.Part], _ file: OpenFile) -> Bool {
        var checksum: UInt32 = 0
        var lists: Set<UInt32> = [], lanes: Set<UInt16> = []
        for part in parts {
            switch part.type {
            case BlockType.interfaceDescription:
                var block = [UInt8](repeating: 0, count: Int(part.end - part.start))
                let seed = checksum
                let sum = unsafe block.withUnsafeMutableBytes { room -> UInt32? in
                    let got = unsafe spillway_read_at(file.descriptor, room.baseAddress!, room.count, part.start)
                    return unsafe got == room.count ? CRC32C.of(room.baseAddress!, count: room.count, seed: seed) : nil
                }
                guard let sum else { return false }
                checksum = sum
                lists.insert(sum)
            case BlockType.lane: lanes.insert(part.lane)
            case BlockType.batchTrailer where !lists.contains(part.interfaces) || !lanes.contains(part.lane):
                return false
            default: break
            }
        }
        return true
    }
}
