internal import CMachine
public import Machine

/// Writes a file from its beginning to its end through a buffer.
@safe public struct CaptureOutput: ~Copyable {
    // Safe because the buffer belongs to this value alone.
    private static let capacity = 1 << 20
    private let file: OpenFile
    private let buffer: UnsafeMutableRawPointer
    private var filled = 0
    /// Bytes appended so far.
    public private(set) var position: UInt64 = 0
    private var written: UInt64 = 0

    /// Writes into an open file from its first byte on.
    public init(_ file: consuming OpenFile) {
        unsafe buffer = UnsafeMutableRawPointer.allocate(byteCount: Self.capacity, alignment: 64)
        self.file = file
    }

    deinit { unsafe buffer.deallocate() }

    /// Room for `count` more bytes, at most 1 MiB, which `advance` then counts.
    public mutating func room(_ count: Int) throws(SystemError) -> UnsafeMutableRawPointer {
        precondition(count <= Self.capacity)
        if filled + count > Self.capacity { try flush() }
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

    /// Writes what is in the buffer.
    public mutating func flush() throws(SystemError) {
        try unsafe file.write(UnsafeRawBufferPointer(start: buffer, count: filled), at: written)
        written += UInt64(filled)
        filled = 0
    }

    /// Writes what is left and makes the file durable.
    ///
    /// - Parameters:
    ///   - complete: passed once all is written.
    ///   - synced: passed once all is durable.
    public mutating func finish(complete: CrashPoint, synced: CrashPoint) throws(SystemError) {
        try flush()
        complete.pass()
        try file.truncate(to: written)
        try file.sync()
        synced.pass()
    }

    /// Reserves the space of the whole file, so that a full disk shows at once.
    public func reserve(_ count: UInt64) throws(SystemError) { try file.reserve(from: 0, count: count) }
}
