internal import CFuse
import Glibc
import Machine

/// One capture file in a chain.
///
/// Owned by its chain, which is used under the lock of its stream.
final class ChainPart {
    let name: String
    let identity: FileIdentity
    let format: CaptureFormat
    let conversion: Conversion
    /// Where its first byte stands in the stream.
    let start: UInt64
    /// Bytes at its beginning that are not given on: the header of every classic file but the first.
    let skipped: UInt64
    /// The first bytes, by which an overwritten file is known.
    private(set) var signature: [UInt8]
    /// The greatest offset in the file up to which bytes were given on.
    private(set) var reached: UInt64
    /// Bytes behind the end of the file that complete its last record.
    private(set) var completion: [UInt8] = []
    /// Its length in the stream, once nothing more is expected of it.
    private(set) var length: UInt64?
    /// When bytes came last, by the monotonic clock.
    private(set) var lastGrowth = Clock.monotonic()

    /// When the file was changed last, as far as that was looked at; nanoseconds since 1970.
    private var lastChange: UInt64 = 0
    private var startOfHeader: [UInt8] = []
    private let path: String
    private let source: SourceTree
    private var file: Int32
    private var walk: RecordWalk
    /// What the file begins with instead of its own first bytes, where it is the first and the stream promises more than it.
    private let header: [UInt8]
    private var converted: ConvertedWindow?

    static let signatureBytes = 40

    init(
        _ name: String, path: String, source: SourceTree, file: Int32, status: SourceStatus, format: CaptureFormat,
        conversion: Conversion, start: UInt64, skipped: UInt64, header: [UInt8] = []
    ) {
        self.name = name
        self.path = path
        self.source = source
        self.file = file
        self.format = format
        self.conversion = conversion
        self.start = start
        self.skipped = skipped
        self.header = header
        identity = status.identity
        reached = skipped
        signature = Self.signature(of: file)
        // The blocks at the start of a pcapng file are part of what is walked, and changed where they must be.
        let first = format.container == .classic ? UInt64(format.headerBytes) : 0
        walk = RecordWalk(format, from: first, conversion)
        if !conversion.isIdentity { converted = ConvertedWindow(walk) }
    }

    deinit { if file >= 0 { close(file) } }

    /// The end in the stream; what is there so far, while the part may grow.
    var end: UInt64 { start + (length ?? reached - skipped) }
    var stop: WalkStop { converted?.stop ?? walk.stop }

    /// Reads from an offset in the file. 0 at the end of the data for now; see `stop` for the reason.
    func read(_ target: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try reopen()
        let count: Int
        if converted != nil {
            count = try unsafe converted!.read(target, at: offset, file) { isWhatItWas() }
        } else {
            let read = unsafe spillway_pread(file, target.baseAddress!, target.count, offset)
            guard read >= 0 else { throw Errno(errno) }
            let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: target[..<read])
            count = read == 0 || !isWhatItWas() ? 0 : unsafe walk.advance(bytes, at: offset, file: file)
        }
        if offset < UInt64(header.count) && count > 0 {
            unsafe target.copyBytes(from: header[Int(offset)...].prefix(count))
        }
        if count > 0 && offset + UInt64(count) > reached {
            reached = offset + UInt64(count)
            lastGrowth = Clock.monotonic()
            unsafe keepStartOfHeader(target, at: offset)
            if signature.count < Self.signatureBytes { signature = Self.signature(of: file) }
        }
        return count
    }

    /// Reads from an offset in the stream that lies in this part, which is finished.
    func readFinished(_ target: UnsafeMutableRawBufferPointer, at position: UInt64) throws(Errno) -> Int {
        let within = position - start
        let ofFile = length! - UInt64(completion.count)
        if within < ofFile {
            let count = min(target.count, Int(ofFile - within))
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: target[..<count])
            let read = try unsafe self.read(part, at: skipped + within)
            // The file was cut after it had been read to its end.
            if read == 0 { throw Errno(ESTALE) }
            return read
        }
        let rest = completion[Int(within - ofFile)...].prefix(target.count)
        unsafe target.copyBytes(from: rest)
        return rest.count
    }

    /// Whether so many bytes from a place in the stream are there and lie within the file, right behind what was read.
    func canReadAhead(_ count: Int, at position: UInt64) -> Bool {
        guard file >= 0, converted == nil, header.isEmpty else { return false }
        let from = skipped + (position - start)
        if let length { return position - start + UInt64(count) <= length - UInt64(completion.count) }
        return from <= reached && from + UInt64(count) <= status()?.size ?? 0
    }

    /// Whether all of the file was looked at, nothing is wrong with it, and it is given on as it is.
    func isWhole(_ status: SourceStatus) -> Bool {
        length == nil && converted == nil && header.isEmpty && reached == status.size && walk.stop == .nothing
            && !walk.isLost && walk.ending(at: reached) == .boundary
    }

    /// The file as it is now.
    func status() -> SourceStatus? { file >= 0 ? SourceTree.status(ofOpen: file) : nil }

    /// Whether the file was begun anew since it was opened.
    func isOverwritten(_ status: SourceStatus) -> Bool {
        if status.size < reached { return true }
        let now = Self.signature(of: file)
        return !now.starts(with: signature)
    }

    /// Whether bytes that were just read are those of the file that was begun with. A ring may have written it anew in the
    /// meantime; of that the kernel's stamp of the last change tells, and only after a change the file is looked at.
    private func isWhatItWas() -> Bool {
        guard let now = status() else { return false }
        let change = SourceStatus.nanoseconds(now.status.st_ctim)
        if change == lastChange && now.size >= reached { return true }
        if isOverwritten(now) { return false }
        lastChange = change
        return true
    }

    /// The part of a header that was given on is kept: when the file is overwritten, nothing else can tell it.
    private func keepStartOfHeader(_ target: UnsafeMutableRawBufferPointer, at offset: UInt64) {
        let position = (converted?.walk ?? walk).position
        guard position < reached, reached - position < 64 else {
            if !startOfHeader.isEmpty { startOfHeader = [] }
            return
        }
        if position >= offset { startOfHeader = [] }
        let from = Int(max(position, offset) - offset)
        unsafe startOfHeader.append(contentsOf: target[from..<Int(reached - offset)])
    }

    /// Whether somebody writes the file; nil when that cannot be told.
    var hasWriter: Bool? {
        switch spillway_has_writer(file) {
        case 0: false
        case 1: true
        default: nil
        }
    }

    /// What an inotify watch can be set on, also when the name is gone.
    var watchPath: String { "/proc/self/fd/\(file)" }

    /// Ends the part where its data end, completing a torn record.
    ///
    /// - Returns: what was wrong with the end, for people.
    func finish() -> String? {
        guard length == nil else { return nil }
        var problem: String?
        let walk = converted?.walk ?? self.walk
        if walk.stop == .zeros {
            problem = "the rest of the file is zeros; left out"
        } else if walk.ending(at: reached) == .insideRecord && reached > walkStart {
            problem = complete(walk).map { "the file ends inside a record; \($0) bytes of zeros complete it" }
        }
        length = reached - skipped + UInt64(completion.count)
        return problem
    }

    /// Ends the part at a length that was not looked at byte by byte.
    func finish(atSize size: UInt64) {
        guard length == nil else { return }
        reached = max(size, skipped)
        length = reached - skipped
    }

    /// Gives the descriptor back; a later read opens the file again.
    func rest() {
        if file >= 0 { close(file) }
        file = -1
        converted = nil
    }

    private var walkStart: UInt64 { format.container == .classic ? UInt64(format.headerBytes) : 0 }

    /// Adds what the record needs in which the file ends, and says how much that is.
    private func complete(_ walk: RecordWalk) -> Int? {
        if walk.position > reached {
            let length = walk.position - walk.lastStart
            completion = TornRecord.rest(ofLength: length, missing: walk.position - reached, format)
            return completion.count
        }
        let header = startOfHeader
        guard header.count == Int(reached - walk.position) else { return nil }
        completion = TornRecord.rest(ofHeader: header, format) ?? []
        return completion.isEmpty ? nil : completion.count
    }

    private func reopen() throws(Errno) {
        guard file < 0 else { return }
        let (opened, status) = try source.openFile(path)
        guard status.identity == identity, Self.signature(of: opened).starts(with: signature) else {
            close(opened)
            throw Errno(ESTALE)
        }
        file = opened
        if !conversion.isIdentity {
            converted = ConvertedWindow(RecordWalk(format, from: walkStart, conversion))
        }
    }

    static func signature(of file: Int32) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: signatureBytes)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe spillway_pread(file, $0.baseAddress!, $0.count, 0) }
        return Array(bytes.prefix(max(0, count)))
    }
}
