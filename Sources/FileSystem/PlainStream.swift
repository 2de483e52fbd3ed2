internal import CFuse
import Glibc
import Synchronization

/// A file that is no capture, as it is.
final class PlainStream: ReadableStream {
    private let file: Int32
    private let services: StreamServices
    private let position = Atomic<UInt64>(0)

    init(_ file: Int32, _ services: StreamServices) {
        self.file = file
        self.services = services
    }

    deinit { close(file) }

    func read(_ read: HeldRead, by reader: Reader, isNonBlocking: Bool) {
        unsafe services.buffers.withBuffer(read.size) { buffer in
            let count = unsafe spillway_pread(file, buffer.baseAddress!, buffer.count, read.offset)
            if count > 0 { position.store(read.offset + UInt64(count), ordering: .relaxed) }
            unsafe read.reply(count < 0 ? .failure(errno) : count == 0 ? .end : .bytes(count), buffer)
        }
    }

    func interrupted(_ request: OpaquePointer) {}

    func poll(_ handle: PollHandle?, by reader: Reader) -> Bool {
        handle?.drop()
        return true
    }

    func release(_ reader: Reader) {}
    func shutDown() {}
    func delivered(to reader: Reader) -> (bytes: UInt64, sawEnd: Bool) { (position.load(ordering: .relaxed), false) }
    func status() -> [String] { [] }
}

/// A file that is made up: the text it had when it was opened.
final class TextStream: ReadableStream {
    private let text: [UInt8]

    init(_ text: [UInt8]) { self.text = text }

    func read(_ read: HeldRead, by reader: Reader, isNonBlocking: Bool) {
        let start = min(text.count, Int(clamping: read.offset))
        unsafe text.withUnsafeBytes { bytes in
            let end = min(bytes.count, start + read.size)
            unsafe read.reply(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        }
    }

    func interrupted(_ request: OpaquePointer) {}

    func poll(_ handle: PollHandle?, by reader: Reader) -> Bool {
        handle?.drop()
        return true
    }

    func release(_ reader: Reader) {}
    func shutDown() {}
    func delivered(to reader: Reader) -> (bytes: UInt64, sawEnd: Bool) { (UInt64(text.count), false) }
    func status() -> [String] { [] }
}
