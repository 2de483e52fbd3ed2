internal import CMachine
public import Machine
internal import Pcapng

/// What a scan found in a cache file, beside the batches it handed on.
public struct CacheScanReport: Sendable {
    /// What the good batches amount to.
    public var contents = CacheContents()
    /// The cache header of the first section that checks.
    public var header: CacheHeader?
    /// Places where bytes in the middle of the file do not check.
    public var damagedPlaces = 0
    /// Bytes of these places.
    public var damagedBytes: UInt64 = 0
    /// The first of these places.
    public var damage: [CacheDamage] = []
    /// Bytes behind the last good block that are only the beginning of one.
    public var tornBytes: UInt64 = 0
    /// Where the last good block before the footer ends.
    public var end: UInt64 = 0
    /// The footer, if the file ends with one that checks.
    public var footer: CacheFooter?
    /// What the last section says in the end, its statistics included.
    public var section: RunDescription?
    /// A version of the cache format that is not known here; nothing was read then.
    public var foreignVersion: UInt16?
}

/// A good batch of a scan.
@safe public struct ScannedBatch {
    // Safe because it is only handed to a closure that does not keep it.

    /// The whole batch.
    public let bytes: UnsafeRawBufferPointer
    /// What was found out about it.
    public let check: BatchCheck
    /// Where it begins in the file.
    public let offset: UInt64
}

/// Reads a cache file from its beginning to its end and checks every byte; what does not check is passed over and counted.
public struct CacheScan {
    private let window: FileWindow
    private let visit: (borrowing ScannedBatch, RunDescription) throws(SystemError) -> Void
    private var report = CacheScanReport()
    /// The present section; nil before the first one, and where its beginning did not check.
    private var section: RunDescription?
    private var position: UInt64 = 0
    /// Where the blocks begin that the next check block is about.
    private var unchecked: UInt64 = 0

    /// Scans a file.
    ///
    /// - Parameters:
    ///   - limit: the file is read to here; to its end if nil.
    ///   - visit: gets each good batch in the order of the file, and the section it is in.
    public static func run(
        _ name: String, in directory: DirectoryHandle, limit: UInt64? = nil,
        _ visit: (borrowing ScannedBatch, RunDescription) throws(SystemError) -> Void
    ) throws(SystemError) -> CacheScanReport {
        let window = try FileWindow(name, in: directory)
        return try withoutActuallyEscaping(visit) { visit throws(SystemError) in
            var scan = CacheScan(window: window, size: min(limit ?? .max, window.size), visit: visit)
            try scan.run()
            scan.report.section = scan.section
            return scan.report
        }
    }

    private let size: UInt64

    private init(
        window: FileWindow, size: UInt64,
        visit: @escaping (borrowing ScannedBatch, RunDescription) throws(SystemError) -> Void
    ) {
        (self.window, self.size, self.visit) = (window, size, visit)
    }

    /// What can stand at a place.
    private enum Step {
        /// Good up to here.
        case good(end: UInt64)
        /// A block that the next check block is about ends here.
        case pending(end: UInt64)
        /// The footer.
        case footer
        /// It begins well but goes beyond the end of the file.
        case short
        case damaged
    }

    private mutating func run() throws(SystemError) {
        var isShort = false
        while position < size, report.foreignVersion == nil {
            switch try step(at: position) {
            case .good(let end):
                (position, unchecked, report.end) = (end, end, end)
            case .pending(let end):
                position = end
            case .footer:
                return
            case .short, .damaged:
                isShort = try passOver()
                if isShort { return }
            }
        }
        // What no check block vouches for is as good as not written.
        if unchecked < position, report.foreignVersion == nil { report.tornBytes = size - unchecked }
    }

    private mutating func step(at offset: UInt64) throws(SystemError) -> Step {
        guard let type = try window.word(at: offset), let length = try window.word(at: offset + 4) else {
            return .short
        }
        if type == BlockType.enhancedPacket {
            return offset == unchecked ? try batch(at: offset) : .damaged
        }
        guard length >= 12, length % 4 == 0 else { return type == 0 && length == 0 ? .short : .damaged }
        if type == BlockType.check { return try check(at: offset) }
        if type == BlockType.cacheFooter, offset == unchecked { return try footer(at: offset, Int(length)) }
        // Descriptions of a run have 1 MiB together; a longer block is none of ours.
        guard length <= UInt32(RunDescription.byteLimit + 4096) else { return .damaged }
        guard offset + UInt64(length) <= size else { return .short }
        if offset == unchecked, report.end == 0 { try noteVersion() }
        return .pending(end: offset + UInt64(length))
    }

    /// Walks over records to the trailer, and checks the batch.
    private mutating func batch(at start: UInt64) throws(SystemError) -> Step {
        var offset = start
        while offset - start < UInt64(BatchCheck.byteLimit) {
            guard let type = try window.word(at: offset), let length = try window.word(at: offset + 4) else {
                return .short
            }
            let end = offset + UInt64(length)
            guard type == BlockType.enhancedPacket || type == BlockType.batchTrailer, length >= 32, length % 4 == 0
            else { return type == 0 && length == 0 ? .short : .damaged }
            guard end <= size else { return .short }
            if type == BlockType.batchTrailer { return try accept(from: start, to: end) ? .good(end: end) : .damaged }
            offset = end
        }
        return .damaged
    }

    /// Hands a batch on if everything about it checks.
    private mutating func accept(from start: UInt64, to end: UInt64) throws(SystemError) -> Bool {
        let count = Int(end - start)
        guard count <= BatchCheck.byteLimit, let section, let bytes = try unsafe window.bytes(count, at: start),
            let base = bytes.baseAddress, let check = unsafe BatchCheck(base, byteCount: count),
            check.trailer.run == section.run,
            section.matches(check.trailer.interfaceCRC, greatest: check.greatestInterface)
        else { return false }
        report.contents.add(check.trailer, at: start)
        try visit(unsafe ScannedBatch(bytes: bytes, check: check, offset: start), section)
        return true
    }

    /// A check block: if it is right, what it is about is taken in.
    private mutating func check(at offset: UInt64) throws(SystemError) -> Step {
        guard let block = try unsafe window.bytes(CheckBlock.byteCount, at: offset) else { return .short }
        let covered = unsafe UInt64(block.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        guard covered == offset - unchecked else { return .damaged }
        return try takeIn(covered: covered, at: offset) ? .good(end: offset + UInt64(CheckBlock.byteCount)) : .damaged
    }

    /// Whether the check block at a place is right about the bytes before it; if so the section is what they say.
    private mutating func takeIn(covered: UInt64, at offset: UInt64) throws(SystemError) -> Bool {
        let count = Int(covered) + CheckBlock.byteCount
        guard offset + UInt64(CheckBlock.byteCount) <= size, covered % 4 == 0, covered > 0, covered <= offset,
            covered <= UInt64(2 * RunDescription.byteLimit),
            let window = try unsafe window.bytes(count, at: offset - covered)
        else { return false }
        let bytes = unsafe Array(window)
        guard CheckBlock.closing(Array(bytes.prefix(Int(covered)))) == Array(bytes.suffix(CheckBlock.byteCount)),
            let next = SectionReader.read(bytes.dropLast(CheckBlock.byteCount), continuing: section)
        else { return false }
        if next.isNew { report.contents.sections += 1 }
        if report.header == nil { report.header = next.header }
        section = next.description
        return true
    }

    private mutating func footer(at offset: UInt64, _ length: Int) throws(SystemError) -> Step {
        guard offset + UInt64(length) <= size else { return .short }
        guard offset + UInt64(length) == size, let bytes = try unsafe window.bytes(length, at: offset),
            let footer = try? unsafe CacheFooter(Array(bytes)), footer.summary.footerOffset == offset
        else { return .damaged }
        report.footer = footer
        return .footer
    }

    /// A file of another version says so in its second block.
    private mutating func noteVersion() throws(SystemError) {
        guard position == 0, let length = try window.word(at: 4), let type = try window.word(at: UInt64(length)),
            type == BlockType.cacheHeader, let bytes = try unsafe window.bytes(12, at: UInt64(length))
        else { return }
        let version = unsafe bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
        if version != CacheHeader.version { report.foreignVersion = version }
    }

    /// Looks for the next place that checks, behind one that does not. True if there is none.
    private mutating func passOver() throws(SystemError) -> Bool {
        let start = unchecked
        let isShort: Bool
        if case .short = try step(at: position) { isShort = true } else { isShort = false }
        var place = start
        while place + 8 <= size {
            if let begin = try goodBlock(closedAt: place, after: start) {
                try noteDamage(from: start, to: begin)
                (position, unchecked) = (begin, begin)
                return false
            }
            place += 4
        }
        // A whole batch that does not check is damage, also where nothing follows it; the rest is a torn tail.
        if isShort {
            report.tornBytes = size - start
        } else {
            try noteDamage(from: start, to: size)
        }
        return true
    }

    private mutating func noteDamage(from start: UInt64, to end: UInt64) throws(SystemError) {
        report.damagedPlaces += 1
        report.damagedBytes += end - start
        guard report.damage.count < CacheDamage.limit else { return }
        let kind: CacheDamage.Kind =
            switch try window.word(at: start) {
            case BlockType.enhancedPacket: .batch
            case BlockType.cacheFooter: .footer
            default: .blocks
            }
        report.damage.append(CacheDamage(at: start, byteCount: end - start, kind))
    }

    /// Where the good thing begins whose last block is at `place`: a batch, blocks with their check, or the footer.
    private mutating func goodBlock(closedAt place: UInt64, after start: UInt64) throws(SystemError) -> UInt64? {
        guard let type = try window.word(at: place) else { return nil }
        switch type {
        case BlockType.batchTrailer:
            let end = place + UInt64(BatchTrailer.byteCount)
            guard end <= size, let records = try window.word(at: place + 48), UInt64(records) <= place - start,
                Int(records) + BatchTrailer.byteCount <= BatchCheck.byteLimit, section != nil
            else { return nil }
            let begin = place - UInt64(records)
            let count = Int(records) + BatchTrailer.byteCount
            guard begin > start, let bytes = try unsafe window.bytes(count, at: begin),
                unsafe BatchCheck(bytes.baseAddress!, byteCount: count) != nil
            else { return nil }
            return begin
        case BlockType.check:
            guard let covered = try window.word(at: place + 8), UInt64(covered) <= place - start else { return nil }
            let begin = place - UInt64(covered)
            let before = (report, section)
            guard begin > start, try takeIn(covered: UInt64(covered), at: place) else { return nil }
            // It is read once more from its beginning.
            (report, section) = before
            return begin
        case BlockType.cacheFooter:
            guard place > start, let length = try window.word(at: place + 4), place + UInt64(length) == size,
                let bytes = try unsafe window.bytes(Int(length), at: place),
                (try? unsafe CacheFooter(Array(bytes))) != nil
            else { return nil }
            return place
        default: return nil
        }
    }
}
