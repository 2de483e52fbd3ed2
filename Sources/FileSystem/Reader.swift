internal import CFuse
import Glibc
import Synchronization

/// An open file of the mount, from open to release.
final class Reader: Sendable {
    /// What reads go to.
    let stream: any ReadableStream
    /// The process that opened it; threads of one process are one reader. 0 if it cannot be told.
    let process: Int32
    let name: String

    init(_ stream: any ReadableStream, process: Int32, name: String) {
        self.stream = stream
        self.process = process
        self.name = name
    }

    /// The process of a thread, which is what the kernel reports.
    static func process(ofThread thread: Int32) -> Int32 {
        guard thread > 0 else { return 0 }
        let file = unsafe open("/proc/\(thread)/status", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return thread }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress!, $0.count) }
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("Tgid:") }
        return line.flatMap { Int32($0.dropFirst(5).drop { $0 == "\t" || $0 == " " }) } ?? thread
    }
}

/// Something that can be open for reading.
protocol ReadableStream: AnyObject, Sendable {
    /// Reads, now or later, and answers the request.
    func read(_ read: HeldRead, by reader: Reader, isNonBlocking: Bool)
    /// A signal wants the request back.
    func interrupted(_ request: OpaquePointer)
    /// Whether a read would be answered at once; if not, the handle is told when it would. Takes over the handle.
    func poll(_ handle: PollHandle?, by reader: Reader) -> Bool
    /// The last descriptor of the reader was closed.
    func release(_ reader: Reader)
    /// Ends all waiting, because the mount goes away.
    func shutDown()
    /// Bytes of the stream given to a reader, and whether it has seen the end.
    func delivered(to reader: Reader) -> (bytes: UInt64, sawEnd: Bool)
    /// For `.status`.
    func status() -> [String]
    /// Streams with the same owner say the same.
    var statusOwner: ObjectIdentifier { get }
}

extension ReadableStream {
    var statusOwner: ObjectIdentifier { ObjectIdentifier(self) }
}

/// Somebody in poll(2), who is told once.
///
/// SAFETY: libfuse keeps the handle until it is destroyed, which `tell` and `drop` do; only one of them is called.
@safe struct PollHandle: @unchecked Sendable {
    private let handle: OpaquePointer

    init(_ handle: OpaquePointer) { unsafe self.handle = unsafe handle }

    /// Says that there is something to read. Not to be called while a request is handled.
    func tell() {
        unsafe fuse_lowlevel_notify_poll(handle)
        unsafe fuse_pollhandle_destroy(handle)
    }

    func drop() { unsafe fuse_pollhandle_destroy(handle) }
}
