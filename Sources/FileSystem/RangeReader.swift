import Glibc
import Machine

/// A closed range of capture files as the mount gives it to its readers, read in the caller's thread and without a mount: for
/// whoever wants to see what becomes of certain bytes, such as a fuzzer.
public final class RangeReader {
    private let stream: any StreamSource
    private let chain: Chain?
    private let options: StreamOptions

    /// Opens `first..last` of a directory.
    ///
    /// - Parameters:
    ///   - options: as after `-o`, one by one.
    ///   - log: gets what the mount would write into its log.
    /// - Returns: nil where the mount would show no such name.
    public init?(
        directory: String, from first: String, to last: String, options words: [String] = [],
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        var options = StreamOptions()
        for word in words where options.take(word) != .taken { return nil }
        guard let tree = try? SourceTree(directory) else { return nil }
        let names = ChainNames(directory: "", first: first, last: last)
        let catalogue = Catalogue(tree)
        self.options = options
        if options.direction == .newestFirst {
            guard let backward = try? BackwardChain(names, options, catalogue, log: log) else { return nil }
            (stream, chain) = (backward, nil)
        } else {
            guard let chain = try? Chain(names, options, catalogue, log: log, endsAfter: { _, _ in false }) else {
                return nil
            }
            (stream, self.chain) = (chain, chain)
        }
    }

    /// Reads from an offset in the stream on.
    ///
    /// - Returns: bytes; 0 at the end; an error number (errno(3)) below zero, EAGAIN where a reader would wait.
    public func read(_ target: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        switch unsafe stream.read(target, at: offset) {
        case .bytes(let count): count
        case .end: 0
        case .wait: -Int(EAGAIN)
        case .failure(let code): -Int(code)
        }
    }

    /// Shares the range out as a cluster does.
    ///
    /// - Parameter give: gets each record and the member it goes to, -1 for everybody.
    /// - Returns: 0 at the end, else an error number below zero.
    public func share(among members: Int, _ give: (_ record: UnsafeRawBufferPointer, _ member: Int) -> Void) -> Int {
        guard let chain else { return -Int(EINVAL) }
        var splitter = Splitter(options.clusterMode)
        let store = SlabStore()
        let queues = (0..<members).map { ClusterMember(process: Int32($0), name: "", store) }
        while true {
            while splitter.hasRecords {
                let source = splitter.nextSource & ~4095
                guard let (record, hash, bytes) = unsafe splitter.next() else { break }
                let whole = unsafe UnsafeRawBufferPointer(start: bytes, count: record.length)
                switch record.kind {
                case .packet:
                    let member = ClusterHash.member(hash, of: UInt32(members))
                    let queue = queues[member]
                    unsafe queue.queue.append(bytes, record.length, source: source)
                    queue.queue.deliver(upTo: queue.queue.end)
                    unsafe give(whole, member)
                case .everybody: unsafe give(whole, -1)
                case .nobody: break
                }
            }
            switch splitter.fill(from: chain) {
            case .bytes: break
            case .end: return 0
            case .wait: return -Int(EAGAIN)
            case .failure(let code): return -Int(code)
            }
        }
    }
}
