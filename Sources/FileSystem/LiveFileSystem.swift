internal import CFuse
import Glibc
import Machine
import Synchronization

/// A source as a file system: what the kernel's requests mean.
///
/// Every method may be called by several workers at once.
final class LiveFileSystem: Sendable {
    let source: SourceTree
    let catalogue: Catalogue
    let services: StreamServices
    let control = ControlFiles()
    let clusters = ClusterRegistry()
    let cachedRanges: CachedRanges
    let passthrough = Passthrough()
    let patience = Patience()
    let nodes: Nodes
    let log: @Sendable (String) -> Void
    /// Who made the mount; the made-up files are theirs.
    let owner = (user: getuid(), group: getgid())
    private let readers = Mutex<[UInt64: [Reader]]>([:])

    init(_ source: SourceTree, _ options: StreamOptions, log: @escaping @Sendable (String) -> Void) throws(SystemError)
    {
        self.source = source
        self.log = log
        catalogue = Catalogue(source)
        services = StreamServices(catalogue, try Follower(source, log: log), log: log)
        cachedRanges = CachedRanges(catalogue, services.buffers)
        nodes = Nodes(root: ControlScope(directory: "", options: options))
    }

    func add(_ reader: Reader, of node: UInt64) { readers.withLock { $0[node, default: []].append(reader) } }

    func remove(_ reader: Reader, of node: UInt64) {
        readers.withLock { readers in
            readers[node]?.removeAll { $0 === reader }
            if readers[node]?.isEmpty == true { readers[node] = nil }
        }
    }

    func readers(of node: UInt64) -> [Reader] { readers.withLock { $0[node] ?? [] } }

    var allReaders: [Reader] { readers.withLock { $0.values.flatMap { $0 } } }

    /// Whether a node has to be a new one, because the kernel reads through it from what is not there any more like that.
    func isOutdated(_ number: UInt64, _ kind: NodeKind) -> Bool {
        guard let content = passthrough.content(of: number) else { return false }
        guard case .stream(let names, _) = kind else { return true }
        guard let (file, status) = try? source.openFile(joined(names.directory, names.first)) else { return true }
        defer { close(file) }
        return FileContent(status) != content || spillway_has_writer(file) == 1
    }

    /// What a name in a directory stands for.
    func resolve(_ name: String, in parent: UInt64) throws(Errno) -> NodeKind {
        guard case .directory(let scope) = nodes[parent] else { throw Errno(ENOTDIR) }
        if let control = ControlName(name) {
            guard control == .status || self.control.content(control, scope) != nil else { throw Errno(ENOENT) }
            return .control(control, scope)
        }
        if let kind = try existing(name, scope) { return kind }
        if let range = range(name, scope) { return range }
        var options = scope.options
        if options.take(name) == .taken {
            return .directory(ControlScope(directory: scope.directory, options: options))
        }
        throw Errno(ENOENT)
    }

    /// A name of the source itself.
    private func existing(_ name: String, _ scope: ControlScope) throws(Errno) -> NodeKind? {
        let path = joined(scope.directory, name)
        guard let status = try? source.status(path) else { return nil }
        if status.isDirectory { return .directory(ControlScope(directory: path, options: scope.options)) }
        guard status.isRegular else { throw Errno(ENOENT) }
        if catalogue.kind(path, status) == .foreign { return .plain(path) }
        return .stream(ChainNames(directory: scope.directory, first: name, last: nil), scope)
    }

    /// `a..b` and `a..`. Since names may have dots of their own, every place where the name can be parted is tried.
    private func range(_ name: String, _ scope: ControlScope) -> NodeKind? {
        let bytes = Array(name.utf8)
        guard bytes.count >= 3 else { return nil }
        func isFile(_ part: String) -> Bool {
            guard !part.isEmpty else { return false }
            let path = joined(scope.directory, part)
            guard let status = try? source.status(path), status.isRegular else { return false }
            return catalogue.kind(path, status) == .capture
        }
        for index in 1..<bytes.count - 1 where bytes[index] == 0x2E && bytes[index + 1] == 0x2E {
            let first = String(decoding: bytes[..<index], as: UTF8.self)
            let last = String(decoding: bytes[(index + 2)...], as: UTF8.self)
            guard isFile(first), last.isEmpty || isFile(last) else { continue }
            let names = ChainNames(directory: scope.directory, first: first, last: last.isEmpty ? nil : last)
            if !last.isEmpty {
                let order = scope.options.order
                guard (try? catalogue.range(from: first, to: last, in: scope.directory, order: order)) != nil
                else { continue }
            }
            return .stream(names, scope)
        }
        return nil
    }

    /// The content of a control file now.
    func text(_ name: ControlName, _ scope: ControlScope) -> [UInt8]? {
        guard name == .status else { return control.content(name, scope) }
        var seen: Set<ObjectIdentifier> = []
        let streams = allReaders.filter { seen.insert($0.stream.statusOwner).inserted }.map(\.stream)
        let lines = ["source \(source.path)"] + streams.flatMap { $0.status() }
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    /// Ends everything that waits.
    func shutDown() {
        for reader in allReaders { reader.stream.shutDown() }
    }
}
