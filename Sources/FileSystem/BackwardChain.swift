import Glibc
import Machine
import Pcapng
import SpillCache

/// The batches of a Spillway cache directory, newest first: by last arrival over all files, as the relay itself sends them.
///
/// A closed range is what its files hold when it is read first; it ends. A stream without an end goes on with what arrives
/// later, as soon as it arrives. Files are looked into only when it is their turn, by the last arrival in their footer.
/// Bytes of batches are never copied anywhere: a table says which batch stands where in the stream.
final class BackwardChain: StreamSource {
    private enum Content {
        /// A section header with its interfaces and lanes.
        case blocks([UInt8])
        case batch(BatchFile, offset: UInt64)
    }

    private struct Piece {
        let start: UInt64
        let length: Int
        let content: Content
        var end: UInt64 { start + UInt64(length) }
    }

    let names: ChainNames
    private let catalogue: Catalogue
    private let log: @Sendable (String) -> Void
    private let cache: DirectoryHandle
    private let isPolled: Bool
    var namesChanged = true
    var deadline: UInt64? { nil }

    /// Every file that was found, by its final name.
    private var found: Set<CacheFileName> = []
    /// Files that were not looked into yet, the one with the latest arrival last.
    private var waiting: [BatchFile] = []
    /// Files of which some batches are still to be given, or to come.
    private var active: [BatchFile] = []
    /// What was given, in the order of the stream; the oldest of it is forgotten.
    private var pieces: [Piece] = []
    private var end: UInt64 = 0
    private var sent: RunDescription?
    private var linkType: UInt16?
    private var batches = 0
    private var problem = ""
    private var failure: Int32?
    private var openFiles: [BatchFile] = []

    /// Pieces that can be read again, at least; a piece is a batch, mostly of 64 KiB.
    private static let piecesMax = 1 << 17
    private static let openFilesMax = 16

    init(
        _ names: ChainNames, _ options: StreamOptions, _ catalogue: Catalogue, log: @escaping @Sendable (String) -> Void
    )
        throws(Errno)
    {
        self.names = names
        self.catalogue = catalogue
        self.log = log
        isPolled = options.follow == .poll || !catalogue.source.tellsOfChanges(names.directory)
        guard CacheFileName(parsing: names.first) != nil else {
            log("\(joined(names.directory, names.first)): direction=newest-first reads files of a Spillway cache only")
            throw Errno(EINVAL)
        }
        do throws(SystemError) {
            cache = try DirectoryHandle("\(catalogue.source.path)/\(names.directory)", creating: false)
        } catch {
            throw Errno(error.code)
        }
    }

    /// What comes next is decided when it is asked for.
    func readAhead(_ target: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int { 0 }

    func readOnce(_ target: UnsafeMutableRawBufferPointer, at position: UInt64) -> ReadOutcome {
        do throws(Errno) {
            while position >= end {
                if let failure { return .failure(failure) }
                if try extend() { continue }
                if names.last != nil { return .end }
                return position == end ? .wait : .failure(EINVAL)
            }
            guard let piece = piece(at: position) else { return .failure(EINVAL) }
            let within = Int(position - piece.start)
            let count = min(target.count, piece.length - within)
            let room = unsafe UnsafeMutableRawBufferPointer(rebasing: target[..<count])
            switch piece.content {
            case .blocks(let bytes):
                unsafe room.copyBytes(from: bytes[within..<within + count])
                return .bytes(count)
            case .batch(let file, let offset):
                keepOpen(file)
                return .bytes(try unsafe file.read(room, at: offset + UInt64(within)))
            }
        } catch {
            return .failure(error.code)
        }
    }

    private func piece(at position: UInt64) -> Piece? {
        var (low, high) = (0, pieces.count)
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].end > position { high = middle } else { low = middle + 1 }
        }
        return low < pieces.count && pieces[low].start <= position ? pieces[low] : nil
    }

    /// Adds the newest batch that was not given yet. False if there is none now.
    private func extend() throws(Errno) -> Bool {
        let isClosed = names.last != nil
        if namesChanged && (found.isEmpty || !isClosed) {
            namesChanged = false
            try lookForFiles()
        }
        if !isClosed { for file in active where file.mayGrow { try look(into: file) } }
        while let next = waiting.last, next.lastArrival >= newest?.newest?.trailer.lastArrival ?? 0 {
            waiting.removeLast()
            try look(into: next)
            active.append(next)
        }
        guard let file = newest, let batch = file.takeNewest() else {
            active.removeAll { $0.isDone }
            return false
        }
        let section = file.section(batch.section)
        guard begin(section, for: batch) else { return true }
        add(batch.length, .batch(file, offset: batch.offset))
        batches += 1
        if file.isDone { active.removeAll { $0 === file } }
        return true
    }

    /// The file whose newest batch is the newest of all.
    private var newest: BatchFile? {
        var result: BatchFile?
        for file in active {
            guard let batch = file.newest else { continue }
            if let other = result?.newest, !other.isOlder(than: batch) { continue }
            result = file
        }
        return result
    }

    private func look(into file: BatchFile) throws(Errno) {
        do throws(Errno) {
            keepOpen(file)
            try file.look()
        } catch {
            let reason = SystemError("read", code: error.code).reason
            report("\(file.name): passed over: \(reason)")
            active.removeAll { $0 === file }
        }
        if let problem = file.takeProblem() { report("\(file.name): \(problem)") }
    }

    /// Finds the cache files of the directory that are new.
    private func lookForFiles() throws(Errno) {
        let all =
            if let last = names.last {
                try catalogue.range(from: names.first, to: last, in: names.directory, order: .name)
            } else {
                try catalogue.names(in: names.directory).filter { !NaturalOrder.precedes($0, names.first) }
            }
        for text in all {
            guard let name = CacheFileName(parsing: text) else {
                report("\(text): passed over: it is no file of a Spillway cache")
                continue
            }
            guard found.insert(name).inserted else { continue }
            let summary = text == name.sealed ? try? CacheReader.summary(text, in: cache) : nil
            waiting.append(BatchFile(name, in: names.directory, catalogue.source, summary: summary))
        }
        waiting.sort { $0.lastArrival < $1.lastArrival }
    }

    /// Writes a section header where the present section does not say all that a batch needs. False if the batch cannot be
    /// part of the stream.
    private func begin(_ section: RunDescription, for batch: BatchPlace) -> Bool {
        if linkType == nil { linkType = section.linkType }
        guard section.linkType == linkType else {
            report("link type \(section.linkType ?? 0) behind \(linkType ?? 0) cannot be read as one stream")
            failure = EIO
            return false
        }
        if let sent, sent.run == section.run, sent.lanes.count >= section.lanes.count,
            sent.matches(batch.trailer.interfaceCRC, greatest: batch.greatestInterface)
        {
            return true
        }
        sent = section
        let header = StreamBlocks.sectionHeader(hardware: nil, system: nil, application: "spillway mount")
        let blocks = header + section.interfaces.joined() + section.lanes.joined()
        add(blocks.count, .blocks(blocks))
        return true
    }

    private func add(_ length: Int, _ content: Content) {
        if pieces.count >= 2 * Self.piecesMax { pieces.removeFirst(Self.piecesMax) }
        pieces.append(Piece(start: end, length: length, content: content))
        end += UInt64(length)
    }

    /// Notes that a file is in use, and closes the one that was not for the longest time.
    private func keepOpen(_ file: BatchFile) {
        if openFiles.last === file { return }
        openFiles.removeAll { $0 === file }
        openFiles.append(file)
        if openFiles.count > Self.openFilesMax { openFiles.removeFirst().rest() }
    }

    private func report(_ text: String) {
        let line = joined(names.directory, text)
        if line != problem { log(line) }
        problem = line
    }

    /// Events of the directory tell of its files as well.
    var watchTargets: WatchTargets { WatchTargets(directory: names.directory, files: [], polls: isPolled) }

    func status(_ name: String, _ state: String) -> [String] {
        let known = active.reduce(0) { $0 + $1.count }
        var lines = ["stream \(joined(names.directory, name)), newest first: \(state)"]
        lines.append("  \(batches) batches given, \(known) known and to come, \(waiting.count) files not looked into")
        if !problem.isEmpty { lines.append("  last problem: \(problem)") }
        return lines
    }
}
