import Glibc
import Synchronization

/// The clusters that still wait for members.
final class ClusterRegistry: Sendable {
    struct Key: Hashable {
        let names: ChainNames
        let scope: ControlScope
    }

    private let gathering = Mutex<[Key: ClusterStream]>([:])

    /// Takes a place in the cluster that gathers under a key, or begins one.
    func join(
        _ key: Key, process: Int32, name: String, make: () throws(Errno) -> ClusterStream
    ) throws(Errno) -> (ClusterStream, ClusterMember) {
        try gathering.withLock { (gathering) throws(Errno) in
            var cluster = gathering[key]
            if cluster?.isAbandoned ?? true { cluster = try make() }
            let (member, isComplete) = cluster!.join(process: process, name: name)
            gathering[key] = isComplete ? nil : cluster
            return (cluster!, member)
        }
    }
}

/// An open file of a cluster. Its reader becomes a member with its first read, not with the open: programs that only look
/// at a file are no members.
final class ClusterSeat: ReadableStream {
    private let key: ClusterRegistry.Key
    private let registry: ClusterRegistry
    private let make: @Sendable () throws(Errno) -> ClusterStream
    private let seat = Mutex<SeatState>(.empty)

    /// SAFETY: a member is used only by its cluster, under its lock.
    private enum SeatState: @unchecked Sendable {
        case empty
        case taken(ClusterStream, ClusterMember)
    }

    init(
        _ key: ClusterRegistry.Key, _ registry: ClusterRegistry,
        make: @escaping @Sendable () throws(Errno) -> ClusterStream
    ) {
        self.key = key
        self.registry = registry
        self.make = make
    }

    private func take(_ reader: Reader) throws(Errno) -> (ClusterStream, ClusterMember) {
        try seat.withLock { (state) throws(Errno) in
            if case .taken(let cluster, let member) = state { return (cluster, member) }
            let (cluster, member) = try registry.join(key, process: reader.process, name: reader.name, make: make)
            state = .taken(cluster, member)
            return (cluster, member)
        }
    }

    private var taken: (ClusterStream, ClusterMember)? {
        seat.withLock { state in
            if case .taken(let cluster, let member) = state { return (cluster, member) }
            return nil
        }
    }

    func read(_ read: HeldRead, by reader: Reader, isNonBlocking: Bool) {
        do throws(Errno) {
            let (cluster, member) = try take(reader)
            cluster.read(read, by: member, reader, isNonBlocking: isNonBlocking)
        } catch {
            read.fail(error.code)
        }
    }

    func interrupted(_ request: OpaquePointer) { unsafe taken?.0.interrupted(request) }

    func poll(_ handle: PollHandle?, by reader: Reader) -> Bool {
        guard let (cluster, member) = try? take(reader) else {
            handle?.drop()
            return true
        }
        return cluster.poll(handle, by: member)
    }

    func release(_ reader: Reader) {
        guard let (cluster, member) = taken else { return }
        cluster.leave(member)
    }

    func shutDown() { taken?.0.shutDown() }

    func delivered(to reader: Reader) -> (bytes: UInt64, sawEnd: Bool) {
        taken.map { $0.0.delivered(to: $0.1) } ?? (0, false)
    }

    /// The cluster speaks through its first member.
    var statusOwner: ObjectIdentifier { taken.map { ObjectIdentifier($0.0) } ?? ObjectIdentifier(self) }

    func status() -> [String] { taken?.0.status(key.names.text) ?? [] }
}

extension ChainNames {
    /// As people write it.
    var text: String { last.map { "\(first)..\($0)" } ?? first }
}
