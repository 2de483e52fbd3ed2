internal import Glibc
internal import Machine

/// Reads a file through a window of memory that grows to what is asked for at once; by pread(2), so that an I/O error is
/// an error and not a signal.
@safe final class FileWindow {
    // Safe because the memory belongs to this object, and what is handed out is used before the next call.
    private let file: OpenFile
    /// Length of the file when it was opened.
    let size: UInt64
    private var memory: UnsafeMutableRawBufferPointer
    private var start: UInt64 = 0
    private var filled = 0

    init(_ name: String, in directory: DirectoryHandle, window: Int = 1 << 20) throws(SystemError) {
        file = try OpenFile(name, in: directory, flags: O_RDONLY)
        size = try file.size
        let count = min(window, max(Int(clamping: size), 64))
        unsafe memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    }

    deinit { unsafe memory.deallocate() }

    /// The bytes at a place, valid until the next call; nil if they are beyond the end. Reads ahead.
    func bytes(_ count: Int, at offset: UInt64) throws(SystemError) -> UnsafeRawBufferPointer? {
        guard count >= 0, offset <= size, UInt64(count) <= size - offset else { return nil }
        if offset < start || offset + UInt64(count) > start + UInt64(filled) {
            if unsafe count > memory.count {
                unsafe memory.deallocate()
                unsafe memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
            }
            (start, filled) = (offset, 0)
            let wanted = Int(min(UInt64(unsafe memory.count), size - offset))
            filled = try unsafe file.read(UnsafeMutableRawBufferPointer(rebasing: memory[..<wanted]), at: offset)
            guard filled >= count else { throw SystemError("read", file.path, code: EIO) }
        }
        let place = Int(offset - start)
        return unsafe UnsafeRawBufferPointer(rebasing: memory[place..<place + count])
    }

    /// The number of 32 bits at a place, nil beyond the end.
    func word(at offset: UInt64) throws(SystemError) -> UInt32? {
        guard let bytes = try unsafe bytes(4, at: offset) else { return nil }
        return unsafe bytes.loadUnaligned(as: UInt32.self)
    }
}
