internal import CFuse
import Glibc
import Machine
import Pcapng
import SpillCache

/// A cache file as a stream that is read newest first sees it: which batches of it are still to be given.
///
/// Owned by its stream and used under the stream's lock.
final class BatchFile {
    /// The name it had when it was found; a file that is sealed loses its `.open`.
    let name: CacheFileName
    /// No batch of it arrived later; `.max` while it may grow.
    private(set) var lastArrival: UInt64
    /// Whether its batches were looked at.
    private(set) var isKnown = false
    /// What was wrong with it that is to be told, once.
    private(set) var problem: String?

    private let source: SourceTree
    private let directory: String
    private var identity: FileIdentity?
    private var file: Int32 = -1
    private var walk = BatchWalk()
    /// Sections that were read before the walk began anew, behind damage.
    private var earlierSections: [RunDescription] = []
    /// Batches that are still to be given, oldest first.
    private var remaining: [BatchPlace] = []
    /// Where the walk could not go on and the scan took over last.
    private var resumedAt: UInt64?

    init(_ name: CacheFileName, in directory: String, _ source: SourceTree, summary: CacheSummary?) {
        self.name = name
        self.directory = directory
        self.source = source
        lastArrival = summary?.times.lastArrival ?? .max
    }

    deinit { rest() }

    /// The newest batch that is still to be given.
    var newest: BatchPlace? { remaining.last }
    /// Whether nothing more is to be expected.
    var isDone: Bool { isKnown && walk.isAtFooter && remaining.isEmpty }
    /// Whether more batches may come.
    var mayGrow: Bool { isKnown && !walk.isAtFooter }
    /// Batches that are still to be given and known.
    var count: Int { remaining.count }

    func section(_ number: Int) -> RunDescription {
        number < earlierSections.count ? earlierSections[number] : walk.sections[number - earlierSections.count]
    }

    func takeNewest() -> BatchPlace? { remaining.popLast() }

    /// Looks at what came since the last look.
    func look() throws(Errno) {
        let descriptor = try descriptor()
        guard let size = SourceTree.status(ofOpen: descriptor)?.size else { throw Errno(EIO) }
        let isFirstLook = !isKnown
        isKnown = true
        guard size > walk.position else { return }
        let (before, damagedBefore) = (remaining.count, walk.damagedBatches)
        let base = earlierSections.count
        try walk.advance(descriptor, size: size) { place in
            remaining.append(Self.moved(place, base))
        }
        // What is only begun is still being written, or it is damage that looks like a longer block.
        let isCut = walk.position < size && !walk.isAtFooter && (isFirstLook || isSealed)
        if (walk.isLost || isCut) && resumedAt != walk.position { resume(upTo: size) }
        if walk.damagedBatches > damagedBefore { problem = "\(walk.damagedBatches) damaged batches left out" }
        let new = remaining[max(0, before - 1)...]
        let isSorted = zip(new, new.dropFirst()).allSatisfy { !$1.isOlder(than: $0) }
        if !isSorted { remaining.sort { $0.isOlder(than: $1) } }
    }

    private var isSealed: Bool { (try? source.status(joined(directory, name.sealed))) != nil }

    /// Lengths of blocks made no sense: the scan that knows how to go on behind damage takes over.
    private func resume(upTo size: UInt64) {
        let lostAt = walk.position
        resumedAt = lostAt
        guard let handle = try? DirectoryHandle("\(source.path)/\(directory)", creating: false) else { return }
        var sections: [RunDescription] = []
        var found: [BatchPlace] = []
        let names = [name.sealed, name.open].filter { handle.contains($0) }
        guard let current = names.first,
            let report = try? CacheScan.run(
                current, in: handle, limit: size,
                { batch, description in
                    guard batch.offset >= lostAt else { return }
                    if sections.last?.run != description.run
                        || sections.last?.checksums.count != description.checksums.count
                    {
                        sections.append(description)
                    }
                    found.append(
                        BatchPlace(
                            offset: batch.offset, length: unsafe batch.bytes.count, trailer: batch.check.trailer,
                            greatestInterface: batch.check.greatestInterface, section: sections.count - 1))
                })
        else {
            problem = "at offset \(lostAt): a length that cannot be right; the rest is left out"
            return
        }
        // A torn tail: what is missing of it may still come.
        guard report.end > lostAt else { return }
        earlierSections += walk.sections
        let base = earlierSections.count
        remaining += found.map { Self.moved($0, base) }
        earlierSections += sections
        walk = BatchWalk(resumedAt: report.end, in: report.section)
        problem = "at offset \(lostAt): damaged; \(report.damagedBytes) bytes left out"
    }

    private static func moved(_ place: BatchPlace, _ base: Int) -> BatchPlace {
        BatchPlace(
            offset: place.offset, length: place.length, trailer: place.trailer,
            greatestInterface: place.greatestInterface, section: place.section + base)
    }

    /// What was wrong, once.
    func takeProblem() -> String? { problem.take() }

    /// Reads bytes of a batch that was found.
    func read(_ target: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        let count = unsafe spillway_pread(try descriptor(), target.baseAddress!, target.count, offset)
        guard count >= 0 else { throw Errno(errno) }
        // What was there is gone: somebody who is not Spillway cut the file.
        guard count > 0 else { throw Errno(ESTALE) }
        return count
    }

    /// Gives the descriptor back; a later read opens the file again.
    func rest() {
        if file >= 0 { close(file) }
        file = -1
    }

    private func descriptor() throws(Errno) -> Int32 {
        if file >= 0 { return file }
        for text in [name.sealed, name.open] {
            guard let (opened, status) = try? source.openFile(joined(directory, text)) else { continue }
            guard identity == nil || identity == status.identity else {
                close(opened)
                throw Errno(ESTALE)
            }
            identity = status.identity
            file = opened
            return opened
        }
        throw Errno(ENOENT)
    }
}
