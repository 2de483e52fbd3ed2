internal import CMachine
internal import CSending

internal import Glibc
internal import Machine
internal import Synchronization

/// The thread that hashes the files of a sender, each once, one behind the other. Sending does not wait for it: hashes may
/// come after the bytes they are about.
final class TreeWorker: Sendable {
    private let queue = Mutex<(files: [SourceFile], isStopping: Bool)>(([], false))
    private let semaphore: Int32
    private let wake: WakeSignal

    /// - Parameter wake: woken when there are new hashes.
    init(wake: WakeSignal) throws(SystemError) {
        self.wake = wake
        semaphore = spillway_semaphore()
        if semaphore < 0 { throw SystemError("eventfd", code: -semaphore) }
        let thread = try PinnedThread(name: "hashing", cpus: nil) { [self] in run() }
        thread.detach()
    }

    /// Hashes a file when those before it are done.
    func add(_ file: SourceFile) {
        queue.withLock { $0.files.append(file) }
        spillway_event_signal(semaphore)
    }

    /// Ends the thread; it lets go of itself then.
    func stop() {
        queue.withLock { $0.isStopping = true }
        spillway_event_signal(semaphore)
    }

    deinit { close(semaphore) }

    private func run() {
        let memory = PieceMemory()
        while true {
            _ = spillway_semaphore_take(semaphore, 60_000)
            while let file = queue.withLock({ $0.files.isEmpty || $0.isStopping ? nil : $0.files.removeFirst() }) {
                hash(file, memory)
                wake.wake()
            }
            if queue.withLock({ $0.isStopping }) { return }
        }
    }

    private func hash(_ file: SourceFile, _ memory: PieceMemory) {
        guard let descriptor = file.open() else { return }
        defer { file.release() }
        for piece in 0..<file.count {
            if queue.withLock({ $0.isStopping }) { return }
            guard let hash = memory.hash(piece, of: descriptor, size: file.size) else {
                file.check(descriptor)
                file.fail("cannot read it")
                return
            }
            file.append(hash)
            if piece % 4 == 3 { wake.wake() }
        }
        file.seal(descriptor)
    }
}

/// Memory to hash pieces of files in.
@safe final class PieceMemory {
    // Safe because this object owns the memory and only its owner's thread uses it.
    private var hasher = PieceHasher()
    private let memory = UnsafeMutableRawPointer.allocate(byteCount: PieceMemory.byteCount, alignment: 64)
    private static let byteCount = (128 << 10) + PieceHasher.room

    deinit { unsafe memory.deallocate() }

    /// The hash of one piece; nil if it cannot be read to its end.
    func hash(_ piece: UInt64, of descriptor: Int32, size: UInt64) -> TreeHash? {
        let range = Piece.bytes(piece..<piece + 1, ofSize: size)
        let place = unsafe memory + PieceHasher.room
        hasher.begin(at: range.lowerBound)
        var done: UInt64 = range.lowerBound
        while done < range.upperBound {
            let most = min(Int(range.upperBound - done), Self.byteCount - PieceHasher.room)
            let count = unsafe pread(descriptor, place, most, off_t(done))
            guard count > 0 else { return nil }
            unsafe hasher.putRest(before: place)
            unsafe hasher.add(place, byteCount: count)
            done += UInt64(count)
        }
        return hasher.finish(isRoot: Piece.count(ofSize: size) == 1)
    }
}
