internal import CFuse
import Glibc
import Machine
import Synchronization

/// The chain of files as one reader sees it: bytes as they stand in the files.
///
/// SAFETY: all variables are touched only under `lock`.
final class SingleStream: ReadableStream, FollowedStream, PrefetchedStream, @unchecked Sendable {
    let identifier: UInt64
    private let chain: any StreamSource
    private let services: StreamServices
    private let reader: (process: Int32, name: String)

    private let lock = Mutex(())
    private var held: [HeldRead] = []
    private var pollHandle: PollHandle?
    /// Where the last read ended, which is where poll(2) asks.
    private var position: UInt64 = 0
    private var delivered: UInt64 = 0
    private var sawEnd = false
    private var isShut = false
    private let prefetches: Bool
    /// Where the reader is expected next, and the size of its reads.
    private var expected: (offset: UInt64, size: Int)?
    /// What was read for it, in a buffer of the pool.
    private var prefetched: (offset: UInt64, size: Int, buffer: UInt)?

    /// Reads from this size on are worth reading ahead for.
    private static let largeRead = 1 << 17

    init(
        _ chain: any StreamSource, _ services: StreamServices, process: Int32, name: String, prefetches: Bool
    ) {
        self.prefetches = prefetches
        identifier = services.nextIdentifier()
        self.chain = chain
        self.services = services
        reader = (process, name)
    }

    deinit { if let prefetched { services.buffers.give(prefetched.buffer) } }

    func read(_ read: HeldRead, by reader: Reader, isNonBlocking: Bool) {
        var address = services.buffers.take()
        defer { services.buffers.give(address) }
        var (outcome, goesOn) = lock.withLock { _ -> (ReadOutcome, Bool) in
            let outcome = unsafe takePrefetched(read, &address) ?? attempt(read, BufferPool.memory(address, read.size))
            return (outcome, expectNext(read, outcome))
        }
        if goesOn { services.prefetcher.want(self) }
        let buffer = unsafe BufferPool.memory(address, read.size)
        if outcome == .wait && !isNonBlocking {
            guard let later = unsafe hold(read, by: reader, buffer) else { return }
            outcome = later
        }
        unsafe read.reply(outcome, buffer)
    }

    /// Answers a read with what was read ahead for it, exchanging the buffers. Under the lock.
    private func takePrefetched(_ read: HeldRead, _ address: inout UInt) -> ReadOutcome? {
        expected = nil
        guard !isShut, let found = prefetched, found.offset == read.offset, found.size == read.size else { return nil }
        prefetched = (0, 0, address)
        address = found.buffer
        position = read.offset + UInt64(found.size)
        delivered = max(delivered, position)
        return .bytes(found.size)
    }

    /// Whether the reader is likely to go on in the same way. Under the lock.
    private func expectNext(_ read: HeldRead, _ outcome: ReadOutcome) -> Bool {
        guard prefetches, read.size >= Self.largeRead, outcome == .bytes(read.size) else { return false }
        expected = (read.offset + UInt64(read.size), read.size)
        return true
    }

    func prefetch() {
        lock.withLock { _ in
            guard !isShut, let (offset, size) = expected.take() else { return }
            let buffer = prefetched?.buffer ?? services.buffers.take()
            let count = unsafe chain.readAhead(BufferPool.memory(buffer, size), at: offset)
            prefetched = (offset, count, buffer)
        }
    }

    /// Puts a read on the list; an outcome if it need not wait after all.
    private func hold(_ read: HeldRead, by reader: Reader, _ buffer: UnsafeMutableRawBufferPointer) -> ReadOutcome? {
        services.follower.watch(self)
        read.whenInterrupted(reader)
        let (outcome, deadline) = lock.withLock { _ -> (ReadOutcome, UInt64?) in
            let outcome = unsafe attempt(read, buffer)
            guard outcome == .wait else { return (outcome, nil) }
            // The signal may have come before there was anything on the list to find.
            if read.isInterrupted { return (.failure(EINTR), nil) }
            held.append(read)
            return (.wait, chain.deadline)
        }
        guard outcome == .wait else { return outcome }
        services.follower.wait(self, until: deadline)
        return nil
    }

    /// Reads into the buffer. Under the lock.
    private func attempt(_ read: HeldRead, _ buffer: UnsafeMutableRawBufferPointer) -> ReadOutcome {
        if isShut { return .failure(EIO) }
        let outcome = unsafe chain.read(
            UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, read.size)]), at: read.offset)
        switch outcome {
        case .bytes(let count):
            position = read.offset + UInt64(count)
            delivered = max(delivered, position)
        case .end: sawEnd = true
        case .wait, .failure: break
        }
        return outcome
    }

    func interrupted(_ request: OpaquePointer) {
        let found = lock.withLock { _ -> HeldRead? in
            guard let index = held.firstIndex(where: { unsafe $0.request == request }) else { return nil }
            return held.remove(at: index)
        }
        found?.fail(EINTR)
    }

    func wake(namesChanged: Bool) -> (isWaiting: Bool, deadline: UInt64?) {
        lock.withLock { _ in if namesChanged { chain.namesChanged = true } }
        unsafe services.buffers.withBuffer(BufferPool.bufferBytes) { buffer in
            while let (read, outcome) = unsafe nextAnswer(buffer) { unsafe read.reply(outcome, buffer) }
        }
        let handle = lock.withLock { _ -> PollHandle? in
            guard pollHandle != nil, isReadable() else { return nil }
            return pollHandle.take()
        }
        handle?.tell()
        return lock.withLock { _ in (!held.isEmpty || pollHandle != nil, chain.deadline) }
    }

    /// Takes a held read that can be answered off the list.
    private func nextAnswer(_ buffer: UnsafeMutableRawBufferPointer) -> (HeldRead, ReadOutcome)? {
        lock.withLock { _ in
            for (index, read) in held.enumerated() {
                let outcome = unsafe attempt(read, buffer)
                if outcome != .wait { return (held.remove(at: index), outcome) }
            }
            return nil
        }
    }

    func poll(_ handle: PollHandle?, by reader: Reader) -> Bool {
        func look() -> Bool {
            lock.withLock { _ in
                if isReadable() { return true }
                if let handle {
                    pollHandle?.drop()
                    pollHandle = handle
                }
                return false
            }
        }
        services.follower.watch(self)
        if look() {
            handle?.drop()
            return true
        }
        if handle != nil { services.follower.wait(self, until: lock.withLock { _ in chain.deadline }) }
        return false
    }

    /// Whether a read behind the last one would be answered. Under the lock.
    private func isReadable() -> Bool {
        if isShut { return true }
        var space: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        return unsafe withUnsafeMutableBytes(of: &space) { unsafe chain.read($0, at: position) != .wait }
    }

    func release(_ reader: Reader) {
        services.follower.forget(identifier)
        lock.withLock { _ in
            pollHandle?.drop()
            pollHandle = nil
        }
    }

    func shutDown() {
        let (reads, handle) = lock.withLock { _ in
            isShut = true
            defer { held = [] }
            return (held, pollHandle.take())
        }
        for read in reads { read.fail(EIO) }
        handle?.tell()
    }

    func delivered(to reader: Reader) -> (bytes: UInt64, sawEnd: Bool) { lock.withLock { _ in (delivered, sawEnd) } }

    func watchTargets() -> WatchTargets { lock.withLock { _ in chain.watchTargets } }

    func status() -> [String] {
        lock.withLock { _ in
            let state = sawEnd ? "ended" : held.isEmpty ? "reading" : "waiting"
            return chain.status(reader.name, "pid \(reader.process), \(state), \(delivered) bytes delivered")
        }
    }
}

/// What all streams of a mount share.
final class StreamServices: Sendable {
    let catalogue: Catalogue
    let follower: Follower
    let buffers = BufferPool()
    let prefetcher = Prefetcher()
    let log: @Sendable (String) -> Void
    private let identifiers = Atomic<UInt64>(1)

    init(_ catalogue: Catalogue, _ follower: Follower, log: @escaping @Sendable (String) -> Void) {
        self.catalogue = catalogue
        self.follower = follower
        self.log = log
    }

    func nextIdentifier() -> UInt64 { identifiers.wrappingAdd(1, ordering: .relaxed).oldValue }
}

extension Chain {
    var watchTargets: WatchTargets {
        WatchTargets(
            directory: names.directory, files: current.map { [$0.watchPath] } ?? [],
            polls: isPolled)
    }

    /// What `.status` says about a stream.
    func status(_ name: String, _ state: String) -> [String] {
        var lines = ["stream \(joined(names.directory, name)): \(state)"]
        if let current { lines.append("  file \(current.name), \(filesDone) done before it") }
        let size = current?.status()?.size ?? 0
        if let current, current.length == nil, size > current.reached {
            lines.append("  \(size - current.reached) bytes of it not read yet")
        }
        if hasEnded { lines.append("  at the end") }
        if let failure { lines.append("  failed: \(SystemError("read", code: failure).reason)") }
        if !problem.isEmpty { lines.append("  last problem: \(problem)") }
        return lines
    }
}
