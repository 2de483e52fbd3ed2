import CTestSupport
import Glibc
import Machine
import Synchronization
import TestSupport
import Testing

/// A file system in the memory of the test, mounted through FUSE, that fails as it is told to: full, read-only, with I/O
/// errors, or not answering at all. Everything on it is the kernel's real road, but for the disk at its end.
final class FailingDisk: Sendable {
    /// What is wrong with it: errno for each kind of request, 0 while it is well.
    struct Illness: Sendable {
        /// Writing, reserving space, and making files.
        var writing: CInt = 0
        /// Removing, renaming and cutting.
        var changing: CInt = 0
        var reading: CInt = 0
        var syncing: CInt = 0
        /// It answers nothing until this is over.
        var hangs = false
        /// Microseconds that each write takes.
        var pause: useconds_t = 0
        /// It has room for so many bytes.
        var capacity = 1 << 40
    }

    /// A file, or the one directory.
    struct Node {
        var data: [UInt8] = []
        /// Names it has.
        var links = 1
        /// How often the kernel has been told of it.
        var lookups = 0
        /// Bytes that were there at the last sync.
        var synced = 0
    }

    /// All there is.
    struct Content {
        var illness = Illness()
        var nodes: [UInt64: Node] = [1: Node()]
        var names: [String: UInt64] = [:]
        var nextNode: UInt64 = 2
        /// Bytes that were written, and requests that failed.
        var written = 0
        var failures = 0
        /// Syncs of files.
        var syncs = 0
    }

    /// Where it is mounted.
    let path: String
    let content = Mutex(Content())
    private let isOver = Atomic(false)
    private let hasEnded = Atomic(false)

    /// Mounts it on an empty directory.
    fileprivate init(_ path: String) throws {
        self.path = path
        let descriptor = unsafe spillway_test_mount_fuse(path)
        guard descriptor >= 0 else { throw Unexpected("cannot mount a file system: errno \(-descriptor)") }
        _ = try PinnedThread(name: "disk", cpus: nil) { [self] in
            var buffer = [UInt8](repeating: 0, count: (1 << 20) + 8192)
            while !isOver.load(ordering: .acquiring) { turn(descriptor, &buffer) }
            // Whoever still waits for an answer gets an error.
            close(descriptor)
            hasEnded.store(true, ordering: .releasing)
        }
    }

    fileprivate func unmount() {
        _ = unsafe spillway_test_unmount(path)
        isOver.store(true, ordering: .releasing)
        while !hasEnded.load(ordering: .acquiring) { usleep(1000) }
    }

    /// Bytes written so far.
    var written: Int { content.withLock(\.written) }
    /// Requests that failed because the disk is ill.
    var failures: Int { content.withLock(\.failures) }
    /// Names of the files on it.
    var names: [String] { content.withLock { $0.names.keys.sorted() } }

    /// Syncs of files so far.
    var syncs: Int { content.withLock(\.syncs) }

    /// Bytes of cache files that no sync has covered.
    var unsynced: Int {
        content.withLock { content in
            content.names.filter { $0.key.contains(".pcapng") }.reduce(0) { sum, name in
                let node = content.nodes[name.value]
                return sum + (node?.data.count ?? 0) - (node?.synced ?? 0)
            }
        }
    }

    /// The machine loses power: of every file what no sync has covered is gone. Names stay.
    func losePower() {
        content.withLock { content in
            for number in content.nodes.keys {
                let synced = content.nodes[number]!.synced
                if content.nodes[number]!.data.count > synced { content.nodes[number]!.data.removeSubrange(synced...) }
            }
        }
    }

    /// Makes it ill, or well.
    func set(_ illness: Illness = Illness()) { content.withLock { $0.illness = illness } }

    private func turn(_ descriptor: CInt, _ buffer: inout [UInt8]) {
        if content.withLock(\.illness.hangs) {
            usleep(1000)
            return
        }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&entry, 1, 20) > 0 else { return }
        let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
        guard count >= 40 else {
            // ENODEV: nobody uses it any more.
            if count < 0, errno == ENODEV { isOver.store(true, ordering: .releasing) }
            return
        }
        let request = DiskRequest(Array(buffer[..<count]))
        if request.isWrite { usleep(content.withLock(\.illness.pause)) }
        guard let answer = content.withLock({ $0.answer(request) }) else { return }
        var words = ByteWriter(.little)
        words.number(UInt32(16 + answer.bytes.count))
        words.number(-answer.error)
        words.number(request.unique)
        words.raw(answer.bytes)
        let bytes = words.bytes
        // It fails for a request that was interrupted meanwhile.
        _ = unsafe Glibc.write(descriptor, bytes, bytes.count)
    }
}

/// Runs `body` with a disk, mounted on a directory of its own; whoever uses it must have ended by then. Skips (or fails,
/// see `require`) the running test where that is not possible.
func withFailingDisk(_ body: (FailingDisk) throws -> Void) throws {
    try requireRoot()
    try require(unsafe access("/dev/fuse", R_OK | W_OK) == 0, orSkip: "there is no /dev/fuse")
    try withTemporaryDirectory { folder in
        let disk = try FailingDisk(folder)
        defer { disk.unmount() }
        try body(disk)
    }
}
