import Glibc

/// One record or block of a stream, and where it goes.
struct StreamRecord: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable {
        /// To one member.
        case packet
        /// To every member: headers, interfaces, names, secrets.
        case everybody
        /// To nobody: what stops being true when the packets are shared out.
        case nobody
    }

    var offset: Int
    var length: Int
    var flow: PacketFlow
    var kind: Kind

    @_noLocks init(offset: Int, length: Int, kind: Kind, flow: PacketFlow) {
        self.offset = offset
        self.length = length
        self.kind = kind
        self.flow = flow
    }
}

/// Takes a stream of capture files apart into whole records. The stream is one that a chain has joined: one container, one
/// byte order.
struct RecordParser: BitwiseCopyable {
    /// What the next bytes hold.
    enum Step: BitwiseCopyable {
        case record(StreamRecord)
        /// No whole record; this many bytes are needed for one.
        case short(Int)
        case damaged
    }

    private let isClassic: Bool
    private let isSwapped: Bool
    private let headerBytes: Int
    private let mode: ClusterMode
    private var linkType: UInt16
    private var isAtStart = true
    /// pcapng: whether an interface of this section was seen.
    private var knowsInterface = false

    /// The largest record that can be shared out.
    static var recordMax: Int { @_noLocks get { 16 << 20 } }
    /// Batch trailers: they speak of packets that now go to different members.
    private static var batchTrailer: UInt32 { @_noLocks get { 0x8053_5054 } }

    init(_ format: CaptureFormat, mode: ClusterMode) {
        isClassic = format.container == .classic
        isSwapped = format.isSwapped
        headerBytes = format.recordHeader
        linkType = UInt16(truncatingIfNeeded: format.linkType)
        self.mode = mode
    }

    /// Looks at the record that begins at an offset of a window.
    @_noLocks
    mutating func step(_ window: UnsafeRawBufferPointer, at offset: Int) -> Step {
        let available = window.count &- offset
        let start = unsafe window.baseAddress! + offset
        return unsafe isClassic ? classic(start, available, offset) : block(start, available, offset)
    }

    @_noLocks
    private mutating func classic(_ start: UnsafeRawPointer, _ available: Int, _ offset: Int) -> Step {
        if isAtStart {
            guard available >= 24 else { return .short(24) }
            isAtStart = false
            return .record(StreamRecord(offset: offset, length: 24, kind: .everybody, flow: PacketFlow()))
        }
        guard available >= headerBytes else { return .short(headerBytes) }
        let captured = Int(unsafe word(start, 8))
        let length = headerBytes &+ captured
        guard length <= Self.recordMax else { return .damaged }
        guard available >= length else { return .short(length) }
        let flow = unsafe PacketFlow(start + headerBytes, captured: captured, linkType: linkType, mode: mode)
        return .record(StreamRecord(offset: offset, length: length, kind: .packet, flow: flow))
    }

    @_noLocks
    private mutating func block(_ start: UnsafeRawPointer, _ available: Int, _ offset: Int) -> Step {
        guard available >= 12 else { return .short(12) }
        let (type, length) = unsafe (word(start, 0), Int(word(start, 4)))
        guard length >= 12, length & 3 == 0, length <= Self.recordMax else { return .damaged }
        guard available >= length else { return .short(length) }
        var record = StreamRecord(offset: offset, length: length, kind: .everybody, flow: PacketFlow())
        switch type {
        case 0x0a0d_0d0a: knowsInterface = false
        case 1:
            if length >= 20, !knowsInterface {
                let two = unsafe start.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
                linkType = isSwapped ? two.byteSwapped : two
                // What libpcap is shown instead of LINKTYPE_RAW from the second section on.
                if linkType == 12 { linkType = 101 }
                knowsInterface = true
            }
        case 6, 2:
            guard length >= 32 else { return .damaged }
            record.kind = .packet
            let captured = min(Int(unsafe word(start, 20)), length &- 32)
            record.flow = unsafe PacketFlow(start + 28, captured: captured, linkType: linkType, mode: mode)
        case 3:
            guard length >= 16 else { return .damaged }
            record.kind = .packet
            record.flow = unsafe PacketFlow(start + 12, captured: length &- 16, linkType: linkType, mode: mode)
        case Self.batchTrailer: record.kind = .nobody
        default: break
        }
        return .record(record)
    }

    @_noLocks @inline(__always)
    private func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt32 {
        let value = unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        return isSwapped ? value.byteSwapped : value
    }
}
