import Glibc
import Synchronization

/// How a reference collector misbehaves.
public struct CollectorManners: Sendable {
    /// When batches are acknowledged.
    public enum Acks: Sendable {
        /// Each at once.
        case prompt
        /// In groups of this many, each group backwards and every second batch of it first.
        case shuffled(Int)
        /// Each twice, and once more together with all before it.
        case repeated
        /// Not at all.
        case never
        /// All together when the relay has sent nothing for this many milliseconds.
        case late(Int32)
    }

    /// When batches are acknowledged.
    public var acks = Acks.prompt
    /// When those of the first connection are, if otherwise.
    public var acksAtFirst: Acks?
    /// Milliseconds from the connection to HELLO; nil for never.
    public var helloDelay: Int32? = 0
    /// The versions it offers.
    public var versions: ClosedRange<UInt16> = 1...1
    /// Its token.
    public var token: [UInt8]?
    /// Whether its own proof is right.
    public var proves = true
    /// Resets the n-th connection (from 0) after this many bytes from the relay; nil for not.
    public var cutsReading: @Sendable (Int) -> Int? = { _ in nil }
    /// Resets the n-th connection after sending this many bytes itself; nil for not.
    public var cutsWriting: @Sendable (Int) -> Int? = { _ in nil }
    /// Whether a batch that was not acknowledged when its connection breaks is forgotten, as if it had not been written yet.
    public var forgets = false
    /// Bytes it reads in a second, for a slow one.
    public var readsAtMost: Int?
    /// How many bytes of each packet it keeps, where there are too many to keep them whole; of a batch it keeps the trailer
    /// then, which has a checksum over all of it, and of streams nothing. nil for everything.
    public var keepsAtMost: Int?
    /// What it says after the last HAVE, beside acknowledgements.
    public var says: [UInt8] = []
    /// Whether what it has is told in HAVE.
    public var tellsWhatItHas = true

    /// A collector that behaves.
    public init() {}
}

/// What a reference collector knows.
public struct CollectorState: Sendable {
    /// A batch by run, worker, lane and number.
    public struct Identity: Hashable, Sendable {
        /// The run's 16 bytes.
        public var run: [UInt8]
        /// Worker and lane.
        public var worker: UInt16, lane: UInt16
        /// The number among these.
        public var number: UInt64
    }

    /// Batches by identity, whole.
    public var batches: [Identity: ParsedBatch] = [:]
    /// Their identities in the order of their first arrival.
    public var order: [Identity] = []
    /// Batches that came although they were here.
    public var duplicates = 0
    /// Connections accepted.
    public var connections = 0
    /// Connections on which all went well up to END 0.
    public var ends = 0
    /// Every control block that came, in its order.
    public var controls: [ControlMessage] = []
    /// What was against docs/format.md.
    public var violations: [String] = []
    /// Everything that came, by connection.
    public var streams: [[UInt8]] = []
    /// Identities that were acknowledged or told.
    public var acknowledged: Set<Identity> = []

    /// Packets of all batches.
    public var packets: [SamplePacket] { order.compactMap { batches[$0] }.flatMap(\.packets) }
}

/// A collector as docs/format.md has it, and nothing else, on a thread of its own, one connection at a time.
public final class ReferenceCollector: Sendable {
    /// The port of the loopback address it listens on.
    public let port: UInt16
    private let listener: CInt
    private let manners: Mutex<CollectorManners>
    private let known = Mutex(CollectorState())
    private let stopped = Atomic<Bool>(false)
    private let over = Atomic<Bool>(false)

    /// Listens on a free port of 127.0.0.1, or on `port`.
    public init(_ manners: CollectorManners = CollectorManners(), port: UInt16 = 0) throws {
        self.manners = Mutex(manners)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var yes: CInt = 1
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = unsafe withUnsafeMutableBytes(of: &address) { bytes in
            let raw = unsafe bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            guard unsafe bind(descriptor, raw, length) == 0, listen(descriptor, 16) == 0 else { return CInt(-1) }
            return unsafe getsockname(descriptor, raw, &length)
        }
        guard status == 0 else { throw StreamProblem("reference collector: \(systemMessage(errno))") }
        (listener, self.port) = (descriptor, UInt16(bigEndian: address.sin_port))
        try startThread { [self] in
            while !stopped.load(ordering: .acquiring) {
                guard isReadable(listener, 20) else { continue }
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { continue }
                let number = known.withLock {
                    $0.connections += 1
                    return $0.connections - 1
                }
                serve(connection, number)
                close(connection)
            }
            close(listener)
            over.store(true, ordering: .releasing)
        }
    }

    /// What it knows now.
    public var state: CollectorState { known.withLock { $0 } }

    /// Changes its manners for the next connections.
    public func change(_ body: (inout CollectorManners) -> Void) { manners.withLock { body(&$0) } }

    /// Ends it and waits for its thread.
    public func stop() {
        stopped.store(true, ordering: .releasing)
        while !over.load(ordering: .acquiring) { usleep(1000) }
    }

    private func serve(_ descriptor: CInt, _ number: Int) {
        var manners = manners.withLock { $0 }
        if number == 0, let acks = manners.acksAtFirst { manners.acks = acks }
        var connection = CollectorConnection(descriptor, manners, number)
        do {
            try connection.serve(stopped: { stopped.load(ordering: .acquiring) }, known)
        } catch {
            known.withLock { $0.violations.append("connection \(number): \(error)") }
        }
        known.withLock { $0.streams.append(connection.bytes) }
        if manners.forgets {
            known.withLock { state in
                for identity in connection.unacknowledged where !state.acknowledged.contains(identity) {
                    state.batches[identity] = nil
                    state.order.removeAll { $0 == identity }
                }
            }
        }
    }
}

/// Runs a closure on a detached thread.
func startThread(_ body: @escaping @Sendable () -> Void) throws {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = unsafe Unmanaged.passRetained(Box(body)).toOpaque()
    let status = unsafe pthread_create(
        &thread, nil,
        {
            unsafe Unmanaged<Box>.fromOpaque($0!).takeRetainedValue().body()
            return nil
        }, box)
    guard status == 0 else { throw StreamProblem("pthread_create: \(systemMessage(status))") }
    pthread_detach(thread)
}

func isReadable(_ descriptor: CInt, _ milliseconds: CInt) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, milliseconds) > 0
}
