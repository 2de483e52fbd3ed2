internal import CMachine
internal import Glibc
public import Machine

/// Writes a file from its beginning to its end through a buffer, on wish past the page cache: a file that is written once
/// and synced needs no copy in memory, and new pages for it cost more than all the rest.
@safe public struct CaptureOutput: ~Copyable {
    // Safe because the buffer belongs to this value alone.
    private static let capacity = 1 << 20
    /// What direct writes are multiples of, in memory and in the file.
    private static let alignment = 4096
    private let file: OpenFile
    private let buffer: UnsafeMutableRawPointer
    private var filled = 0
    private var isDirect: Bool
    /// Bytes appended so far.
    public private(set) var position: UInt64 = 0
    private var written: UInt64 = 0

    /// Writes into an open file from its first byte on.
    ///
    /// - Parameter direct: whether to go past the page cache where the file system can.
    public init(_ file: consuming OpenFile, direct: Bool = false) {
        unsafe buffer = UnsafeMutableRawPointer.allocate(
            byteCount: Self.capacity + Self.alignment, alignment: Self.alignment)
        isDirect = direct && file.setDirect(true)
        self.file = file
    }

    deinit { unsafe buffer.deallocate() }

    /// The most that there is room for at once.
    public static var roomLimit: Int { capacity }

    /// Room for `count` more bytes, at most `roomLimit`, which `advance` then counts.
    public mutating func room(_ count: Int) throws(SystemError) -> UnsafeMutableRawPointer {
        precondition(count <= Self.capacity)
        if filled + count > Self.capacity + Self.alignment { try flush() }
        return unsafe buffer + filled
    }

    /// Counts bytes that were put where `room` said.
    public mutating func advance(_ count: Int) {
        filled += count
        position += UInt64(count)
    }

    /// Appends bytes, however many.
    public mutating func append(_ bytes: UnsafeRawPointer, count: Int) throws(SystemError) {
        var done = 0
        while done < count {
            let part = min(count - done, Self.capacity)
            unsafe spillway_copy(try room(part), bytes + done, part)
            advance(part)
            done += part
        }
    }

    /// Appends bytes.
    public mutating func append(_ bytes: [UInt8]) throws(SystemError) {
        let result = unsafe bytes.withUnsafeBytes { buffer -> Result<Void, SystemError> in
            guard let base = buffer.baseAddress else { return .success(()) }
            return Result { () throws(SystemError) in try unsafe append(base, count: buffer.count) }
        }
        try result.get()
    }

    /// Begins once more with the first byte.
    public mutating func restart() { (filled, position, written) = (0, 0, 0) }

    /// Writes what is in the buffer; directly only whole blocks, so that less than one of them may be left.
    public mutating func flush() throws(SystemError) {
        let count = isDirect ? filled & ~(Self.alignment - 1) : filled
        let bytes = unsafe UnsafeRawBufferPointer(start: buffer, count: count)
        do throws(SystemError) {
            try unsafe file.write(bytes, at: written)
        } catch {
            // A disk with larger blocks says so only now.
            guard isDirect, error.code == EINVAL, file.setDirect(false) else { throw error }
            isDirect = false
            try unsafe file.write(bytes, at: written)
        }
        written += UInt64(count)
        filled -= count
        unsafe spillway_move(buffer, buffer + count, filled)
    }

    /// Writes what is left and makes the file durable.
    ///
    /// - Parameters:
    ///   - complete: passed once all is written.
    ///   - synced: passed once all is durable.
    public mutating func finish(complete: CrashPoint, synced: CrashPoint) throws(SystemError) {
        try flush()
        if filled > 0, file.setDirect(false) {
            isDirect = false
            try flush()
        }
        complete.pass()
        try file.truncate(to: written)
        try file.sync()
        synced.pass()
    }

    /// Reserves the space of the whole file, so that a full disk shows at once.
    public func reserve(_ count: UInt64) throws(SystemError) { try file.reserve(from: 0, count: count) }
}
