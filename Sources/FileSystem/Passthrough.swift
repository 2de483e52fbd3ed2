internal import CFuse
import Glibc
import Synchronization

/// Files that the kernel reads from without asking: a closed range of one whole file is that file to the byte.
///
/// It takes root and a kernel from 6.9 on (fuse-passthrough.rst); where that is missing nothing is passed through, and
/// everything works all the same. All opens of a node at the same time must have the same file behind them.
final class Passthrough: Sendable {
    private struct Entry {
        let number: Int32
        let content: FileContent
        var readers: Int
    }

    private let entries = Mutex<[UInt64: Entry]>([:])
    /// The descriptor of /dev/fuse; -1 before INIT was answered, -2 when the kernel refused.
    private let device = Atomic<Int32>(-1)

    var isInitialised: Bool { device.load(ordering: .acquiring) != -1 }
    var isPossible: Bool { device.load(ordering: .acquiring) >= 0 }

    func begin(on device: Int32) { self.device.store(device, ordering: .releasing) }

    /// What is read by somebody through a node now.
    func content(of node: UInt64) -> FileContent? { entries.withLock { $0[node]?.content } }

    /// The number under which the kernel knows the file behind a node; nil if it cannot be passed through. One reader more.
    func open(_ node: UInt64, _ file: Int32, _ content: FileContent) -> Int32? {
        let device = device.load(ordering: .acquiring)
        guard device >= 0 else { return nil }
        return entries.withLock { entries in
            if let entry = entries[node] {
                guard entry.content.identity == content.identity else { return nil }
                entries[node]!.readers += 1
                return entry.number
            }
            let number = spillway_open_backing(device, file)
            guard number > 0 else {
                if errno == EPERM || errno == ENOTTY || errno == EINVAL { self.device.store(-2, ordering: .releasing) }
                return nil
            }
            entries[node] = Entry(number: number, content: content, readers: 1)
            return number
        }
    }

    /// One reader less.
    func close(_ node: UInt64) {
        entries.withLock { entries in
            guard var entry = entries[node] else { return }
            entry.readers -= 1
            entries[node] = entry.readers > 0 ? entry : nil
            if entry.readers == 0 { spillway_close_backing(device.load(ordering: .acquiring), entry.number) }
        }
    }
}

/// An open file that the kernel reads by itself.
final class PassedStream: ReadableStream {
    private let passthrough: Passthrough
    private let node: UInt64
    private let text: String

    init(_ passthrough: Passthrough, _ node: UInt64, _ text: String) {
        self.passthrough = passthrough
        self.node = node
        self.text = text
    }

    /// The kernel does not ask.
    func read(_ read: HeldRead, by reader: Reader, isNonBlocking: Bool) { read.fail(EIO) }
    func interrupted(_ request: OpaquePointer) {}

    func poll(_ handle: PollHandle?, by reader: Reader) -> Bool {
        handle?.drop()
        return true
    }

    func release(_ reader: Reader) { passthrough.close(node) }
    func shutDown() {}
    func delivered(to reader: Reader) -> (bytes: UInt64, sawEnd: Bool) { (0, false) }
    func status() -> [String] { ["stream \(text): read by the kernel without asking"] }
}
