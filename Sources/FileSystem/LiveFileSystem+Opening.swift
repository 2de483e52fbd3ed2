internal import CFuse
import Glibc
import Machine

/// How an open file is to be treated by the kernel.
struct OpenedFile {
    let reader: Reader
    /// Every read comes to us, no page is cached.
    var isDirect = true
    /// Pages cached for an earlier open stay.
    var keepsCache = false
    /// The number of the file that the kernel reads from by itself.
    var backing: Int32?
}

/// The way back from a chain to the cluster that owns it; set once, before the chain is used.
private final class Back<Value: AnyObject> {
    weak var value: Value?
}

extension LiveFileSystem {
    /// Opens a node.
    func open(_ number: UInt64, flags: Int32, thread: Int32) throws(Errno) -> OpenedFile {
        guard let kind = nodes[number] else { throw Errno(ENOENT) }
        let writes = flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0
        let name = nodes.name(number)
        let process = Reader.process(ofThread: thread)
        let opened: OpenedFile
        switch kind {
        case .directory: throw Errno(EISDIR)
        case .control(let control, let scope):
            if writes && !control.isWritable { throw Errno(EROFS) }
            if flags & O_TRUNC != 0 { try self.control.truncate(control, scope, to: 0) }
            guard let text = text(control, scope) else { throw Errno(ENOENT) }
            opened = OpenedFile(reader: Reader(TextStream(text), process: process, name: name))
        case .plain(let path):
            if writes { throw Errno(EROFS) }
            let stream = PlainStream(try source.openFile(path).descriptor, services)
            opened = OpenedFile(reader: Reader(stream, process: process, name: name), isDirect: false)
        case .stream(let names, let scope):
            if writes { throw Errno(EROFS) }
            opened = try openStream(names, scope, process: process, name: name, node: number)
        }
        add(opened.reader, of: number)
        return opened
    }

    private func openStream(
        _ names: ChainNames, _ scope: ControlScope, process: Int32, name: String, node: UInt64
    ) throws(Errno) -> OpenedFile {
        if scope.options.direction == .newestFirst {
            return try openBackward(names, scope, process: process, name: name)
        }
        if scope.options.clusterSize > 1 { return openSeat(names, scope, process: process, name: name) }
        if let passed = openPassed(names, scope, process: process, name: name, node: node) { return passed }
        let chain = try Chain(names, scope.options, catalogue, log: log) { [control] completed, next in
            guard let end = control.ending(behind: completed, process: process, scope) else { return false }
            control.ended(end, last: completed, next: next, scope)
            return true
        }
        let admission = scope.options.cached ? cachedRanges.admit(names, scope.options, node: node) : nil
        let stream = SingleStream(chain, services, process: process, name: name, prefetches: admission == nil)
        var opened = OpenedFile(reader: Reader(stream, process: process, name: name))
        if let admission {
            opened.isDirect = false
            opened.keepsCache = scope.options.keepCache || admission == .samePages
        }
        return opened
    }

    /// One whole file that nobody writes, which the kernel can read by itself.
    private func openPassed(
        _ names: ChainNames, _ scope: ControlScope, process: Int32, name: String, node: UInt64
    ) -> OpenedFile? {
        guard names.first == names.last, passthrough.isPossible,
            let (file, content) = cachedRanges.openWhole(joined(names.directory, names.first), scope.options)
        else { return nil }
        defer { close(file) }
        guard let number = passthrough.open(node, file, content) else { return nil }
        let text = joined(names.directory, "\(name): pid \(process)")
        let reader = Reader(PassedStream(passthrough, node, text), process: process, name: name)
        return OpenedFile(reader: reader, backing: number)
    }

    /// A Spillway cache, newest batch first.
    private func openBackward(
        _ names: ChainNames, _ scope: ControlScope, process: Int32, name: String
    ) throws(Errno) -> OpenedFile {
        guard scope.options.clusterSize == 1 else {
            log("\(joined(names.directory, name)): a cluster cannot read newest first")
            throw Errno(EINVAL)
        }
        let chain = try BackwardChain(names, scope.options, catalogue, log: log)
        let stream = SingleStream(chain, services, process: process, name: name, prefetches: false)
        return OpenedFile(reader: Reader(stream, process: process, name: name))
    }

    private func openSeat(
        _ names: ChainNames, _ scope: ControlScope, process: Int32, name: String
    ) -> OpenedFile {
        let seat = ClusterSeat(ClusterRegistry.Key(names: names, scope: scope), clusters) {
            [catalogue, services, control, log] () throws(Errno) in
            let back = Back<ClusterStream>()
            let chain = try Chain(names, scope.options, catalogue, log: log) { completed, next in
                if back.value?.endsAtFileEnd(completed, next) == true { return true }
                guard let end = control.ending(behind: completed, process: 0, scope) else { return false }
                control.ended(end, last: completed, next: next, scope)
                return true
            }
            let news = ClusterNews { process, last, next in
                control.abended(process, last: last, next: next, scope)
            }
            let cluster = ClusterStream(chain, scope.options, services, news)
            back.value = cluster
            return cluster
        }
        return OpenedFile(reader: Reader(seat, process: process, name: name))
    }

    /// The last descriptor of an open file was closed.
    func release(_ reader: Reader, of number: UInt64) {
        remove(reader, of: number)
        reader.stream.release(reader)
    }

    /// Makes an `.end`.
    func create(_ name: String, in parent: UInt64) throws(Errno) -> NodeKind {
        guard case .directory(let scope) = nodes[parent] else { throw Errno(ENOTDIR) }
        guard let control = ControlName(name), case .end(let process) = control else { throw Errno(EROFS) }
        if process != nil && scope.options.clusterSize > 1 {
            log("\(name): a cluster ends as one; write .end")
            throw Errno(EINVAL)
        }
        try self.control.create(control, scope)
        return .control(control, scope)
    }

    /// The names in a directory, those of the source first.
    func list(_ number: UInt64) throws(Errno) -> [(name: String, mode: mode_t)] {
        guard case .directory(let scope) = nodes[number] else { throw Errno(ENOTDIR) }
        var result: [(name: String, mode: mode_t)] = [(".", S_IFDIR), ("..", S_IFDIR)]
        for (name, type) in try source.entries(scope.directory).sorted(by: { $0.name < $1.name }) {
            switch Int32(type) {
            case Int32(DT_DIR): result.append((name, S_IFDIR))
            case Int32(DT_REG): result.append((name, S_IFREG))
            default:
                guard let status = try? source.status(joined(scope.directory, name)) else { continue }
                if status.isDirectory || status.isRegular { result.append((name, status.status.st_mode & S_IFMT)) }
            }
        }
        let listed = Set(result.map(\.name))
        for control in control.names(scope).map(\.text).sorted() where !listed.contains(control) {
            result.append((control, S_IFREG))
        }
        return result
    }
}
