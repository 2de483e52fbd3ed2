internal import Glibc
internal import Machine
internal import Pcapng

/// Records in the order of their times in a file without a name, read from its beginning to its end through a window.
@safe final class SortedRun {
    // Safe because the window belongs to this object, and every record in it was checked before it was written.
    static let windowBytes = 512 << 10

    /// How many merges are behind it; runs of one level are merged together.
    let level: Int
    /// Time of the present record; meaningless at the end.
    private(set) var time: UInt64 = 0
    private let file: OpenFile
    private let byteCount: UInt64
    private var position: UInt64 = 0
    private var window: UnsafeMutableRawBufferPointer
    private var start = 0, end = 0

    /// Opens what `write` writes. The file has a name only until both descriptors are there.
    init(
        level: Int, name: String, in directory: DirectoryHandle,
        _ write: (inout CaptureOutput) throws(SystemError) -> Void
    ) throws(SystemError) {
        let target = try OpenFile(name, in: directory, flags: O_WRONLY | O_CREAT | O_TRUNC)
        file = try OpenFile(name, in: directory, flags: O_RDONLY)
        try directory.remove(name)
        var output = CaptureOutput(target)
        try write(&output)
        try output.flush()
        byteCount = output.position
        self.level = level
        unsafe window = .allocate(byteCount: Self.windowBytes, alignment: 16)
        try settle()
    }

    deinit { unsafe window.deallocate() }

    /// Whether all records were taken.
    var isAtEnd: Bool { start == end && position == byteCount }

    /// The present record; valid until the next `advance`.
    var base: UnsafeRawPointer { unsafe UnsafeRawPointer(window.baseAddress!) + start }
    private var record: RecordView { unsafe RecordView(base) }
    /// Length of the present record.
    var recordBytes: Int { record.byteCount }

    /// Goes on to the next record.
    func advance() throws(SystemError) {
        start += record.byteCount
        try settle()
    }

    /// Makes the present record be whole in the window.
    private func settle() throws(SystemError) {
        if end - start < Record.overhead { try fill(least: Record.overhead) }
        if isAtEnd { return }
        if record.byteCount > end - start { try fill(least: record.byteCount) }
        time = record.time
    }

    private func fill(least: Int) throws(SystemError) {
        let rest = end - start
        guard rest > 0 || position < byteCount else { return }
        let old = unsafe window
        if unsafe least > window.count { unsafe window = .allocate(byteCount: least, alignment: 16) }
        unsafe window.baseAddress!.copyMemory(from: old.baseAddress! + start, byteCount: rest)
        if unsafe old.baseAddress != window.baseAddress { unsafe old.deallocate() }
        let room = unsafe UnsafeMutableRawBufferPointer(rebasing: window[rest...])
        let count = try unsafe file.read(room, at: position)
        position += UInt64(count)
        (start, end) = (0, rest + count)
        guard end >= least else { throw SystemError("read", file.path, code: EIO) }
    }
}
