internal import CDistribution
internal import CMachine
internal import Fragments
internal import Glibc
internal import Machine

/// Which pieces of a file are in its part file, with their hashes: a file that only grows, one entry per piece, written
/// after the piece. So nothing it says is ahead of the data, whenever the process dies; what a power failure leaves of both
/// is another matter, and told by the boot the journal names.
final class PieceJournal {
    private let descriptor: Int32
    private var end: UInt64
    /// What it said when it was opened.
    private(set) var pieces: FragmentList<UInt64, NoPayload>
    private(set) var hashes: [UInt64: TreeHash] = [:]
    /// Whether it was written since the machine was started.
    private(set) var isOfThisBoot = false

    private static let mark = Array("SPILLPC1".utf8)
    /// Number, hash, checksum, nothing.
    private static let entryCount = 48

    /// Opens the journal of a file; what belongs to another file, or another state of it, is emptied.
    init(_ path: String, in directory: Int32, for file: FileAnnouncement) throws(SystemError) {
        let count = Piece.count(ofSize: file.size)
        pieces = RangeList<UInt64>(limit: count)
        descriptor = unsafe spillway_open_beneath(directory, path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600, 0)
        if descriptor < 0 { throw SystemError("open", path, code: -descriptor) }
        end = 0
        let head = Self.head(of: file)
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw SystemError("stat", path) }
        let length = min(Int(status.st_size), head.count + 36 + Int(count) * 2 * Self.entryCount)
        let content = read(length)
        if content.count >= head.count + 36, Array(content.prefix(head.count)) == head {
            end = UInt64(head.count + 36)
            isOfThisBoot = Array(content[head.count..<head.count + 36]) == Self.boot
            takeEntries(content[(head.count + 36)...], count)
        } else {
            try empty()
            try append(head + Self.boot)
            isOfThisBoot = true
        }
    }

    deinit { close(descriptor) }

    /// Notes a piece.
    func add(_ piece: UInt64, _ hash: TreeHash) throws(SystemError) {
        var entry = WireWriter()
        entry.append(piece)
        entry.append(bytes: hash.bytes)
        entry.append(Self.checksum(entry.bytes))
        entry.append(UInt32(0))
        try append(entry.bytes)
    }

    private func append(_ bytes: [UInt8]) throws(SystemError) {
        let status = unsafe bytes.withUnsafeBytes {
            unsafe spillway_write_all_at(descriptor, $0.baseAddress!, $0.count, end)
        }
        if status != 0 { throw SystemError("write", "journal", code: -status) }
        end += UInt64(bytes.count)
    }

    private func empty() throws(SystemError) {
        if ftruncate(descriptor, 0) != 0 { throw SystemError("truncate", "journal") }
        end = 0
    }

    private func read(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
        return Array(bytes.prefix(max(0, got)))
    }

    /// Entries up to the first that is torn or makes no sense.
    private func takeEntries(_ bytes: ArraySlice<UInt8>, _ count: UInt64) {
        var rest = bytes
        while rest.count >= Self.entryCount {
            var reader = WireReader(Array(rest.prefix(Self.entryCount)))
            guard let piece = try? reader.number() as UInt64, let hash = try? reader.take(32),
                let checksum = try? reader.number() as UInt32, piece < count,
                checksum == Self.checksum(Array(rest.prefix(40)))
            else { return }
            _ = try? pieces.insert(piece..<piece + 1)
            hashes[piece] = TreeHash(hash)
            rest = rest.dropFirst(Self.entryCount)
            end += UInt64(Self.entryCount)
        }
    }

    /// What the journal is about: the same name with another size or another time is another file.
    private static func head(of file: FileAnnouncement) -> [UInt8] {
        var head = WireWriter()
        head.append(bytes: mark)
        head.append(file.size)
        head.append(file.modified)
        head.append(text: file.name)
        return head.bytes
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe spillway_crc32c(0, $0.baseAddress!, $0.count) }
    }

    /// The kernel's name for the time since it was started (random(4)): 36 bytes.
    private static let boot: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 36)
        let descriptor = unsafe open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        if descriptor >= 0 {
            _ = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, 36) }
            close(descriptor)
        }
        return bytes
    }()
}
