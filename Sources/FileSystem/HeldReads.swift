internal import CFuse
import Glibc

/// A read that waits to be answered. Whoever takes it out of the list of its stream, under the stream's lock, answers it.
///
/// SAFETY: libfuse keeps the request alive until it is answered, which happens once.
@safe struct HeldRead: @unchecked Sendable {
    let request: fuse_req_t
    let size: Int
    let offset: UInt64

    init(_ request: fuse_req_t, size: Int, offset: UInt64) {
        unsafe self.request = unsafe request
        self.size = size
        self.offset = offset
    }

    /// Whether the reader was interrupted by a signal.
    var isInterrupted: Bool { unsafe fuse_req_interrupted(request) != 0 }

    /// Tells the reader's stream when a signal wants the request back, at once if it already does. Not to be called with a
    /// lock of ours held, since libfuse holds one of its own when it tells.
    func whenInterrupted(_ reader: Reader) {
        let tell: @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> Void = { request, data in
            guard let request = unsafe request, let data = unsafe data else { return }
            unsafe Unmanaged<Reader>.fromOpaque(data).takeUnretainedValue().stream.interrupted(request)
        }
        unsafe fuse_req_interrupt_func(request, tell, Unmanaged.passUnretained(reader).toOpaque())
    }

    /// Answers with bytes.
    func reply(_ bytes: UnsafeRawBufferPointer) {
        unsafe fuse_reply_buf(request, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    }

    /// Answers with the bytes of several pieces of memory, one behind the other.
    func reply(_ pieces: [iovec]) {
        unsafe pieces.withUnsafeBufferPointer { list in
            _ = unsafe fuse_reply_iov(request, list.baseAddress, Int32(list.count))
        }
    }

    /// Answers with an error number.
    func fail(_ code: Int32) { unsafe fuse_reply_err(request, code) }

    /// Answers with what a read found in a buffer.
    func reply(_ outcome: ReadOutcome, _ buffer: UnsafeMutableRawBufferPointer) {
        switch outcome {
        case .bytes(let count): unsafe reply(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        case .end: unsafe reply(UnsafeRawBufferPointer(start: nil, count: 0))
        case .failure(let code): fail(code)
        case .wait: fail(EAGAIN)
        }
    }
}
