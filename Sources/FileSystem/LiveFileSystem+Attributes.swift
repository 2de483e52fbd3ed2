internal import CFuse
import Glibc
import Machine

/// What stat(2) shows.
extension LiveFileSystem {
    /// The attributes of a node; `process` is who asks.
    func attributes(_ number: UInt64, _ kind: NodeKind, thread: Int32 = 0) throws(Errno) -> stat {
        var result: stat
        switch kind {
        case .directory(let scope): result = try source.status(scope.directory).status
        case .plain(let path): result = readOnly(try source.status(path).status)
        case .stream(let names, let scope): result = try streamAttributes(number, names, scope, thread)
        case .control(let name, let scope): result = try controlAttributes(name, scope)
        }
        result.st_ino = ino_t(number)
        result.st_nlink = kind.isDirectory ? 2 : 1
        return result
    }

    private func readOnly(_ status: stat) -> stat {
        var result = status
        result.st_mode &= ~0o222
        // What stdio and most tools take as the size of their reads.
        result.st_blksize = blksize_t(BufferPool.bufferBytes)
        return result
    }

    private func streamAttributes(
        _ number: UInt64, _ names: ChainNames, _ scope: ControlScope, _ thread: Int32
    ) throws(Errno) -> stat {
        let first = try source.status(joined(names.directory, names.first))
        var result = readOnly(first.status)
        // How many bytes of section headers stand between batches shows only when they are read.
        if names.last != nil && scope.options.direction == .oldestFirst {
            let (size, modified) = try rangeSize(names, scope.options)
            result.st_size = off_t(clamping: size)
            result.st_mtim = modified
            // Large reads spare requests; where pages are cached there are none, and a buffer that fits the CPU's cache is
            // better.
            if scope.options.cached { result.st_blksize = 1 << 17 }
        } else {
            result.st_size = off_t(scope.options.fileSize)
        }
        let readers = readers(of: number)
        if !readers.isEmpty {
            let process = Reader.process(ofThread: thread)
            let own = readers.filter { $0.process == process }.map { $0.stream.delivered(to: $0) }
            if let ended = own.first(where: { $0.sawEnd }) {
                result.st_size = off_t(clamping: ended.bytes)
            } else if let most = own.map(\.bytes).max() {
                result.st_size = max(result.st_size, off_t(clamping: most))
            }
        }
        result.st_blocks = blkcnt_t(result.st_size / 512)
        return result
    }

    /// The length of a closed range as its files are now, and its time of last change.
    func rangeSize(_ names: ChainNames, _ options: StreamOptions) throws(Errno) -> (UInt64, timespec) {
        guard let last = names.last else { return (UInt64(options.fileSize), timespec()) }
        let files = try catalogue.range(from: names.first, to: last, in: names.directory, order: options.order)
        var (size, modified) = (UInt64(0), timespec())
        for name in files {
            guard let (file, status) = try? source.openFile(joined(names.directory, name)) else { continue }
            defer { close(file) }
            guard case .capture(let format) = CaptureFormat.probe(file) else { continue }
            let header = size > 0 && format.container == .classic ? UInt64(format.headerBytes) : 0
            size += status.size - min(header, status.size)
            if (status.status.st_mtim.tv_sec, status.status.st_mtim.tv_nsec) > (modified.tv_sec, modified.tv_nsec) {
                modified = status.status.st_mtim
            }
        }
        return (size, modified)
    }

    private func controlAttributes(_ name: ControlName, _ scope: ControlScope) throws(Errno) -> stat {
        guard let text = text(name, scope) else { throw Errno(ENOENT) }
        var result = stat()
        result.st_mode = S_IFREG | (name.isWritable ? 0o644 : 0o444)
        result.st_size = off_t(text.count)
        result.st_uid = owner.user
        result.st_gid = owner.group
        result.st_blksize = 4096
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        (result.st_mtim, result.st_ctim, result.st_atim) = (now, now, now)
        return result
    }
}

extension NodeKind {
    var isDirectory: Bool { if case .directory = self { true } else { false } }
}
