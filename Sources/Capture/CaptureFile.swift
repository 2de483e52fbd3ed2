import Glibc
import Machine
public import Pcapng

/// A capture file, or standard input, read through one buffer of fixed size.
///
/// `next` only looks at what is in the buffer and belongs to the data plane. When it says `refill`, call `refill`, which
/// reads and may block on a pipe; poll(2) `descriptor` for reading first to avoid that. The bytes of a packet stay where
/// they are until the next `refill`.
///
/// SAFETY: the buffer belongs to this value from `init` to `deinit`; `windowStart ... windowEnd` stays inside it.
@safe
public struct CaptureFile: ~Copyable, @unchecked Sendable {
    /// What `next` found.
    public enum Event: UInt8, Sendable {
        /// A packet: see `packet` and `packetBytes`.
        case packet
        /// An interface: call `takeInterface` before anything else.
        case interface
        /// The buffer holds nothing complete: call `refill`.
        case refill
        /// The file is damaged: see `error`. All later calls say the same.
        case damaged
        /// All is read. All later calls say the same.
        case end
    }

    /// The memory one open file takes, for the memory budget: twice what the parser may ask for at once, so that there is
    /// room to read behind whatever is left over.
    public static let bufferBytes = 2 * CaptureFileParser.windowBytesMax
    /// A read stays at most this large: what was just read is then still in the processor's cache when it is parsed.
    static let readBytesMax = 256 << 10

    /// What was given to `init`, or "standard input" for `-`; for messages.
    public let path: String
    /// The open file, for poll(2). It stays this value's own.
    public let descriptor: Int32
    /// The size of the file when it was opened, nil for a pipe and everything else without a size.
    public let totalBytes: UInt64?
    /// The bytes of the input that have been parsed.
    public var consumedBytes: UInt64 { @_noLocks get { parser.position } }
    /// The packets that were delivered with fewer bytes than the file holds of them, see `CaptureFileParser`.
    public var cutPackets: UInt64 { @_noLocks get { parser.cut } }

    private let buffer: UnsafeMutableRawPointer
    private var windowStart = 0
    private var windowEnd = 0
    private var isAtEnd = false
    /// Where the bytes of the current step begin in the buffer.
    private var stepStart = 0
    private var parser = CaptureFileParser()

    /// Opens a file; `-` is standard input.
    ///
    /// - Throws: `CaptureFileError.cannotOpen`, also for a directory. What the file holds is not looked at yet.
    public init(path: String) throws(CaptureFileError) {
        let input = try OpenedInput(path: path)
        self.path = input.name
        descriptor = input.descriptor
        totalBytes = input.totalBytes
        unsafe buffer = .allocate(byteCount: Self.bufferBytes, alignment: 4096)
    }

    deinit {
        unsafe buffer.deallocate()
        // Standard input is the process's.
        if descriptor != STDIN_FILENO { close(descriptor) }
    }

    /// Finds the next packet or interface in the buffer.
    @_noLocks
    public mutating func next() -> Event {
        while true {
            let event = unsafe parser.step(
                UnsafeRawBufferPointer(start: buffer + windowStart, count: windowEnd - windowStart),
                atEnd: isAtEnd)
            stepStart = windowStart
            windowStart &+= parser.consumed
            switch event {
            case .packet: return .packet
            case .skipped: continue
            case .interface: return .interface
            case .needMore: return .refill
            case .damaged: return .damaged
            case .end: return .end
            }
        }
    }

    /// The packet of the last `packet` event. Its `dataOffset` means nothing here; see `packetBytes`.
    public var packet: PacketHeader { @_noLocks get { parser.packet } }

    /// The bytes of the packet of the last `packet` event. They stay valid and unchanged until the next `refill`, and no
    /// longer than this value lives.
    public var packetBytes: UnsafeRawBufferPointer {
        @_noLocks get {
            unsafe UnsafeRawBufferPointer(
                start: buffer + stepStart + parser.packet.dataOffset, count: Int(parser.packet.captured))
        }
    }

    /// What the file says about the interface of the last `interface` event. Must be called once after each.
    public mutating func takeInterface() -> InterfaceDescription {
        unsafe parser.takeInterface(
            UnsafeRawBufferPointer(start: buffer + stepStart, count: windowEnd - stepStart))
    }

    /// The damage, after a `damaged` event.
    public var error: CaptureFileError? {
        parser.damage.map { .damaged(path: path, $0) }
    }

    /// Reads more of the file into the buffer. Blocks while a pipe has nothing to give. Moves what is left in the buffer,
    /// so pointers into it become invalid.
    ///
    /// - Throws: `CaptureFileError.cannotRead`.
    public mutating func refill() throws(CaptureFileError) {
        if isAtEnd { return }
        let rest = windowEnd - windowStart
        // The parser asks for half a buffer at most, so that there is always room after moving the rest.
        if windowStart > 0 {
            unsafe buffer.copyMemory(from: buffer + windowStart, byteCount: rest)
            (windowStart, stepStart, windowEnd) = (0, 0, rest)
        }
        let room = min(Self.bufferBytes - rest, Self.readBytesMax)
        // Only after a call that nobody needed; reading 0 bytes would look like the end.
        guard room > 0 else { return }
        if totalBytes == nil {
            // A named pipe that had no writer yet reads as if it had ended; poll(2) waits for the first one.
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            while unsafe poll(&waiting, 1, -1) < 0, errno == EINTR {}
        }
        while true {
            let count = unsafe read(descriptor, buffer + rest, room)
            if count >= 0 {
                windowEnd = rest + count
                isAtEnd = count == 0
                return
            }
            if errno == EINTR { continue }
            throw .cannotRead(SystemError("read", path), offset: parser.position + UInt64(rest))
        }
    }
}
