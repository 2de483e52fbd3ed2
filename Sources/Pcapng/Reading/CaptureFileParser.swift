/// What one step of a `CaptureFileParser` found.
public enum ParserEvent: UInt8, Sendable {
    /// A packet: see `packet`. `consumed` bytes of the window are done with.
    case packet
    /// An interface: call `takeInterface` with the same window, then drop `consumed` bytes.
    case interface
    /// Something without a packet: drop `consumed` bytes and go on.
    case skipped
    /// The window must hold at least `needed` bytes, or be the last one. Nothing was consumed.
    case needMore
    /// The file cannot be read further: see `damage`. All later steps say the same.
    case damaged
    /// The input ended where it may end. All later steps say the same.
    case end
}

/// Reads capture files of every pcap and pcapng kind out of windows of bytes that the caller owns.
///
/// The parser does no input of its own and allocates nothing per packet. The caller shows it a window that begins where
/// the last step left off, calls `step`, and drops the first `consumed` bytes afterwards. Windows of any length will
/// do: a step that needs more says how much, never more than `windowBytesMax`.
///
/// Sources: pcap-savefile(5), draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng; where they are silent, what libpcap
/// does. Differences to libpcap, all in favour of reading more: sections may differ in byte order, link type and
/// snap length, and blocks may have any length. A pcapng packet of more than `capturedBytesMax` bytes is delivered cut.
///
/// SAFETY: the interface table belongs to the parser alone; its first `interfaceCount` entries are initialised.
@safe
public struct CaptureFileParser: ~Copyable, @unchecked Sendable {
    /// No more bytes of a packet than these are delivered; libpcap's and Wireshark's own limit.
    public static var capturedBytesMax: UInt32 { @_noLocks get { 262_144 } }
    /// No step asks for a larger window than this: room for the largest packet and as much again for its options.
    public static var windowBytesMax: Int { @_noLocks get { 524_288 } }
    /// The interfaces one section may describe.
    public static var interfacesMax: UInt32 { @_noLocks get { 65_536 } }

    /// What the next bytes are.
    enum Mode: UInt8 { case start, classicRecords, blocks, blockTail, damaged }

    /// The packet of the last `packet` event.
    public internal(set) var packet = PacketHeader(
        time: 0, captured: 0, original: 0, interface: 0, dataOffset: 0)
    /// The bytes of the window the last step is done with.
    public internal(set) var consumed = 0
    /// The bytes the window must hold after a `needMore` event.
    public internal(set) var needed = 0
    /// The bytes of the input that all steps so far are done with: the file offset of the next window.
    public internal(set) var position: UInt64 = 0
    /// The packets that were delivered cut to `capturedBytesMax`.
    public internal(set) var cut: UInt64 = 0
    /// The interfaces described so far, over all sections.
    public internal(set) var interfacesTotal: UInt32 = 0
    /// What is wrong, after a `damaged` event.
    public internal(set) var damage: CaptureFileDamage?

    var mode = Mode.start
    var isSwapped = false
    var classic = ClassicLayout()
    /// The rest of a block too large for the window, without its trailing length, and what that must be.
    var tailBytes: UInt64 = 0
    var tailLength: UInt32 = 0
    var tailStart: UInt64 = 0
    /// The interface of the last `interface` event, until it is taken.
    var pending: InterfaceEntry?
    var interfaces: SectionInterfaces

    /// Makes a parser for one input.
    public init() {
        interfaces = SectionInterfaces()
    }

    /// Looks at the window and takes the next thing out of it.
    ///
    /// - Parameters:
    ///   - window: the bytes of the input from `position` on.
    ///   - atEnd: true when the input has no bytes after the window.
    @_noLocks
    public mutating func step(_ window: UnsafeRawBufferPointer, atEnd: Bool) -> ParserEvent {
        consumed = 0
        guard let start = window.baseAddress, window.count > 0 else {
            return stepWithoutBytes(atEnd: atEnd)
        }
        let input = unsafe InputWindow(
            start: start, count: window.count, isLast: atEnd, isSwapped: isSwapped)
        switch mode {
        case .classicRecords: return classicRecord(input)
        case .blocks: return block(input)
        case .blockTail: return blockTail(input)
        case .start: return fileStart(input)
        case .damaged: return .damaged
        }
    }

    /// The end of the input is an end where it may end, else a truncation.
    @_noLocks
    private mutating func stepWithoutBytes(atEnd: Bool) -> ParserEvent {
        if case .damaged = mode { return .damaged }
        guard atEnd else {
            needed = 1
            return .needMore
        }
        switch mode {
        case .start: return fail(.empty)
        case .blockTail: return fail(.truncatedBlock, at: tailStart)
        case .classicRecords, .blocks, .damaged: return .end
        }
    }

    /// Marks `count` bytes as done with.
    @_noLocks @inline(__always)
    mutating func consume(_ count: Int) {
        consumed = count
        position &+= UInt64(truncatingIfNeeded: count)
    }

    /// Asks for a window of `count` bytes; when there is nothing to come, that is damage.
    @_noLocks
    mutating func shortage(
        _ input: borrowing InputWindow, needing count: Int, or reason: DamageReason
    ) -> ParserEvent {
        if input.isLast { return fail(reason) }
        needed = count
        return .needMore
    }

    /// Ends the parsing at the block or record that begins at the front of the window.
    @_noLocks
    mutating func fail(_ reason: DamageReason) -> ParserEvent { fail(reason, at: position) }

    @_noLocks
    mutating func fail(_ reason: DamageReason, at offset: UInt64) -> ParserEvent {
        damage = CaptureFileDamage(reason, at: offset)
        mode = .damaged
        return .damaged
    }
}
