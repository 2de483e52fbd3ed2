internal import CFuse
import Glibc
import Machine
import Synchronization

/// Which closed ranges may go through the page cache: those whose length is known to the byte before they are read.
///
/// That needs files that nobody writes, and no file but the last that ends inside a record, since such a record is completed
/// in the stream. Whether a file ends cleanly is found out once, by going over its records, and remembered.
final class CachedRanges: Sendable {
    /// What each node showed when it was opened last.
    private struct State { var shown: [UInt64: [FileContent]] = [:] }

    private let catalogue: Catalogue
    private let buffers: BufferPool
    private let state = Mutex(State())
    private static let nodesMax = 4096

    init(_ catalogue: Catalogue, _ buffers: BufferPool) {
        self.catalogue = catalogue
        self.buffers = buffers
    }

    /// What may be done with pages.
    enum Admission {
        /// Those that are cached from an earlier open are still right.
        case samePages
        case newPages
    }

    /// Whether pages may be cached; nil if they may not.
    func admit(_ names: ChainNames, _ options: StreamOptions, node: UInt64) -> Admission? {
        guard let last = names.last,
            let files = try? catalogue.range(from: names.first, to: last, in: names.directory, order: options.order)
        else { return nil }
        var contents: [FileContent] = []
        for name in files {
            guard let content = content(joined(names.directory, name), options, mustBeClean: name != files.last) else {
                return nil
            }
            contents.append(content)
        }
        let isSame = state.withLock { state in
            defer {
                if state.shown.count >= Self.nodesMax { state.shown.removeAll() }
                state.shown[node] = contents
            }
            return state.shown[node] == contents
        }
        return isSame ? .samePages : .newPages
    }

    /// A file that is finished and known to be whole, open for reading; the caller closes it. A file of which that is not known
    /// yet is looked at if it is small; others are looked at while somebody reads them.
    func openWhole(_ path: String, _ options: StreamOptions) -> (file: Int32, content: FileContent)? {
        guard let (file, status) = try? catalogue.source.openFile(path) else { return nil }
        let content = FileContent(status)
        let mayLook = status.size <= Self.smallFileBytes || catalogue.wholeFiles.isWhole(content) != nil
        guard mayLook, isFinished(file, status, options), isClean(file, content) else {
            close(file)
            return nil
        }
        return (file, content)
    }

    private static let smallFileBytes: UInt64 = 32 << 20

    private func isFinished(_ file: Int32, _ status: SourceStatus, _ options: StreamOptions) -> Bool {
        let quiet = Clock.realtime() &- min(status.modified, Clock.realtime())
        let writer = spillway_has_writer(file)
        return writer == 0 || (writer < 0 && quiet >= options.settle)
    }

    private func content(_ path: String, _ options: StreamOptions, mustBeClean: Bool) -> FileContent? {
        guard let (file, status) = try? catalogue.source.openFile(path) else { return nil }
        defer { close(file) }
        guard isFinished(file, status, options) else { return nil }
        let content = FileContent(status)
        return !mustBeClean || isClean(file, content) ? content : nil
    }

    private func isClean(_ file: Int32, _ content: FileContent) -> Bool {
        if let known = catalogue.wholeFiles.isWhole(content) { return known }
        guard case .capture(let format) = CaptureFormat.probe(file) else { return false }
        var walk = RecordWalk(
            format, from: format.container == .classic ? UInt64(format.headerBytes) : 0, Conversion())
        let isClean = unsafe buffers.withBuffer(BufferPool.bufferBytes) { buffer in
            var offset: UInt64 = 0
            while true {
                let count = unsafe spillway_pread(file, buffer.baseAddress!, buffer.count, offset)
                guard count > 0 else {
                    return count == 0 && walk.stop == .nothing && walk.ending(at: offset) == .boundary
                }
                _ = unsafe walk.advance(
                    UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset, file: file)
                if walk.stop != .nothing || walk.isLost { return false }
                offset += UInt64(count)
            }
        }
        catalogue.wholeFiles.note(content, isWhole: isClean)
        return isClean
    }
}
