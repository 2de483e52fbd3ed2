internal import Glibc
internal import Machine
internal import Pcapng

/// Goes through a file from its end to its beginning, from trailer to trailer, without reading what lies between them.
enum CacheWalk {
    /// What the trailers say, in the order of the file, and where blocks lie that are checked by a block of their own.
    struct Outcome {
        var batches: [DiskBatch] = []
        /// Each with its check block.
        var checked: [Range<UInt64>] = []
    }

    /// The batches before a place.
    ///
    /// - Parameter limit: it ends behind so many batches; nil goes to the beginning of the file.
    /// - Parameter between: what else there is to do, between one trailer and the next.
    /// - Throws: if the disk fails, and `EUCLEAN` where something is neither a batch nor checked blocks.
    static func run(
        _ descriptor: Int32, to end: UInt64, batches limit: Int? = nil, _ path: String, between: () -> Void
    ) throws(SystemError) -> Outcome {
        var outcome = Outcome()
        var place = end
        var tail = [UInt8](repeating: 0, count: BatchTrailer.byteCount)
        while place > 0, outcome.batches.count < limit ?? .max {
            between()
            let count = min(Int(clamping: place), tail.count)
            let start = place - UInt64(count)
            let read = unsafe tail.withUnsafeMutableBytes {
                unsafe pread(descriptor, $0.baseAddress!, count, off_t(start))
            }
            guard read == count else { throw SystemError("read", path, code: read < 0 ? errno : EIO) }
            if count == tail.count, let trailer = unsafe tail.withUnsafeBytes({ unsafe trailer($0) }) {
                let length = UInt64(trailer.recordBytes) + UInt64(BatchTrailer.byteCount)
                guard length <= place, length <= UInt64(BatchCheck.byteLimit) else {
                    throw SystemError("read", path, code: EUCLEAN)
                }
                place -= length
                outcome.batches.append(DiskBatch(trailer, at: place))
                continue
            }
            guard let length = CheckBlock.lengthCovered(tail.prefix(count)), length <= place else {
                throw SystemError("read", path, code: EUCLEAN)
            }
            outcome.checked.append(place - length..<place)
            place -= length
        }
        outcome.batches.reverse()
        outcome.checked.reverse()
        return outcome
    }

    private static func trailer(_ bytes: UnsafeRawBufferPointer) -> BatchTrailer? {
        guard unsafe bytes.loadUnaligned(as: UInt32.self) == BlockType.batchTrailer,
            unsafe bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self) == UInt32(BatchTrailer.byteCount)
        else { return nil }
        return unsafe BatchTrailer(reading: bytes.baseAddress!)
    }

    /// What the one section of a file says in the end; nil unless all of it checks.
    static func description(_ descriptor: Int32, _ checked: [Range<UInt64>]) -> RunDescription? {
        var section: RunDescription?
        for range in checked {
            guard range.count <= UInt64(2 * RunDescription.byteLimit),
                let bytes = CacheReader.read(Int(range.count), of: descriptor, at: range.lowerBound)
            else { return nil }
            let covered = bytes.count - CheckBlock.byteCount
            guard CheckBlock.closing(Array(bytes.prefix(covered))) == Array(bytes.suffix(CheckBlock.byteCount)),
                let next = SectionReader.read(bytes.prefix(covered), continuing: section),
                !next.isNew || section == nil
            else { return nil }
            section = next.description
        }
        return section
    }

    /// Whether the trailers of a walk say what the footer says, whose checksum vouches for it, or what was written.
    static func agrees(_ batches: [DiskBatch], _ expected: CacheRecall.Expected) -> Bool {
        guard batches.count == Int(expected.batches), batches.count <= Catalogue.batchesPerFile,
            batches.reduce(0, { $0 + UInt64($1.packets) }) == expected.packets
        else { return false }
        guard let ranges = expected.ranges else { return true }
        var found = BatchSet()
        for batch in batches {
            let lane = BatchLane(run: expected.run, worker: batch.worker, lane: batch.lane)
            // Each of them once.
            guard found.insert(lane, batch.number) else { return false }
        }
        return found.ranges == ranges
    }
}

extension DiskBatch {
    /// The batch of a trailer, which begins at a place.
    init(_ trailer: BatchTrailer, at offset: UInt64) {
        self.init(
            offset: offset, arrival: trailer.lastArrival, number: trailer.number,
            bytes: trailer.recordBytes + UInt32(BatchTrailer.byteCount), packets: trailer.packets,
            worker: trailer.worker, lane: trailer.lane)
    }
}

extension CheckBlock {
    /// If these bytes end with a check block: its length and that of what it covers.
    static func lengthCovered(_ bytes: ArraySlice<UInt8>) -> UInt64? {
        var source = ByteSource(bytes.suffix(byteCount))
        guard let type: UInt32 = try? source.number(), type == BlockType.check,
            let length: UInt32 = try? source.number(), length == UInt32(byteCount),
            let covered: UInt32 = try? source.number()
        else { return nil }
        return UInt64(byteCount) + UInt64(covered)
    }
}
