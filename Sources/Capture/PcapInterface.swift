internal import CPcap
internal import Glibc
internal import Machine
public import Pcapng

/// A packet as an interface delivers it. Its bytes stay where they are until the next call of `next`.
@safe public struct LivePacket: BitwiseCopyable {
    // Safe because it is used before the next packet is asked for, as `PcapInterface.next` says.

    /// Nanoseconds since 1970 UTC, when the kernel saw it.
    public let time: UInt64
    /// Bytes at `bytes`.
    public let captured: UInt32
    /// Bytes on the wire.
    public let original: UInt32
    /// The first byte.
    public let bytes: UnsafeRawPointer

    /// A packet whose bytes somebody keeps. Written out, because in other files the one the compiler makes is none that
    /// `@_noLocks` code can call.
    @_noLocks @inlinable
    init(time: UInt64, captured: UInt32, original: UInt32, bytes: UnsafeRawPointer) {
        (self.time, self.captured, self.original) = (time, captured, original)
        unsafe self.bytes = bytes
    }
}

/// Live capture from one interface through libpcap, on an AF_PACKET socket with a TPACKET_V3 ring.
///
/// Nothing arrives before `startArrivals`. `next` belongs to the data plane; when it has nothing, poll(2)
/// `descriptor` for reading, but never for more than about 100 ms: the removal of an interface that is down
/// wakes nobody.
///
/// At the end call `stopArrivals`, then `next` until `isDrained`: after that the count of packets read and
/// `statistics()` add up exactly.
///
/// SAFETY: the handle belongs to this value from `init` to `deinit`.
@safe public struct PcapInterface: ~Copyable, @unchecked Sendable {
    /// The interface's own name, also where it was opened by an alternative one, or `any`.
    public let name: String
    /// What its packets begin with.
    public let linkType: LinkType
    /// Readable when there are packets, for poll(2). It stays this value's own.
    public let descriptor: Int32
    /// Whether the kernel applies the filter expression. If it cannot, nothing does: use a `PacketFilter`.
    public let filtersInKernel: Bool
    /// Packets `next` has given out.
    public private(set) var readCount: UInt64 = 0
    /// Whether the capture cannot go on; see `failure`. What the ring still holds can be read all the same.
    public private(set) var hasFailed = false

    /// Bytes a packet may have: the most libpcap knows. What a user wants less is cut later, where it is
    /// counted.
    public static let snapLength = 262_144
    /// The memory one interface takes, for the budget: its ring, in whole blocks of at least two, and the one
    /// packet that libpcap holds for the reader. Where memory is short libpcap makes do with a smaller ring.
    public static func byteCount(ringBytes: Int) -> Int { ringByteCount(ringBytes) + snapLength }

    /// How long a block of the ring waits for more packets, in milliseconds. It is the age of a packet at low
    /// rates; a fast stream fills blocks sooner.
    static let blockTimeout: Int32 = 2
    /// The block size libpcap uses.
    static let blockBytes = 262_144
    /// An EtherType that the kernel gives to no frame, because on the wire it is a length: nothing arrives
    /// while the socket is bound to it.
    static let noFrames: UInt32 = 0x00FE

    private let handle: OpaquePointer
    private let index: UInt32
    private var counts = KernelCounts()

    /// Opens an interface.
    ///
    /// - Parameters:
    ///   - name: an interface, or `any` for all of them.
    ///   - filter: expression of pcap-filter(7), or empty.
    ///   - ringBytes: what the kernel may buffer; see `byteCount`.
    ///   - isPromiscuous: whether to take frames for other stations too.
    public init(
        _ name: String, filter: String = "", ringBytes: Int, isPromiscuous: Bool = true
    ) throws(PcapInterfaceError) {
        let (own, index) = try Self.identify(name)
        let opened = try unsafe PcapHandle.open(
            own, filter: filter, ringBytes: Self.ringByteCount(ringBytes), isPromiscuous: isPromiscuous)
        self.name = own
        self.index = index
        unsafe (handle, filtersInKernel) = (opened.handle, opened.filtersInKernel)
        descriptor = unsafe pcap_get_selectable_fd(handle)
        linkType = DataLink.linkType(of: unsafe pcap_datalink(handle))
    }

    deinit { unsafe pcap_close(handle) }

    /// The next packet, or nil if there is none now or the capture has failed. It never waits. The packet's
    /// bytes stay valid until the next call.
    @_noLocks
    public mutating func next() -> LivePacket? {
        var header: UnsafeMutablePointer<pcap_pkthdr>?
        var bytes: UnsafePointer<UInt8>?
        let status = unsafe spillway_pcap_next(handle, &header, &bytes)
        guard status == 1, let header = unsafe header, let bytes = unsafe bytes else {
            if status < 0 { hasFailed = true }
            return nil
        }
        readCount &+= 1
        // The handle was opened for nanoseconds, whatever the field is called.
        let stamp = unsafe header.pointee.ts
        return unsafe LivePacket(
            time: UInt64(truncatingIfNeeded: stamp.tv_sec) &* 1_000_000_000
                &+ UInt64(truncatingIfNeeded: stamp.tv_usec),
            captured: header.pointee.caplen, original: max(header.pointee.len, header.pointee.caplen),
            bytes: UnsafeRawPointer(bytes))
    }

    /// What `drain` does with a packet: the context, the time in nanoseconds since 1970 UTC, captured and
    /// original length, and the bytes, which are there for this call only. A C function, so that no closure
    /// is kept; mark it `@_noLocks`.
    public typealias Taker =
        @convention(c) (UnsafeMutableRawPointer?, UInt64, UInt32, UInt32, UnsafeRawPointer?) -> Void

    /// Hands over up to `limit` packets where they lie in the kernel's ring, without the copy that `next`
    /// makes. It never waits. The packets may not outlive the call of `taker`.
    ///
    /// - Returns: how many there were; 0 if there is none now, or the capture has failed.
    @_noLocks
    public mutating func drain(limit: Int, context: UnsafeMutableRawPointer, _ taker: Taker) -> Int {
        let count = unsafe spillway_pcap_drain(
            handle, Int32(truncatingIfNeeded: limit), taker, context, &hasFailed)
        readCount &+= UInt64(truncatingIfNeeded: count)
        return Int(count)
    }

    /// Lets packets in.
    public mutating func startArrivals() throws(PcapInterfaceError) {
        switch spillway_packet_bind(descriptor, Int32(index), UInt32(ETH_P_ALL)) {
        case 0: return
        case ENODEV: throw .noSuchInterface(name)
        case ENETDOWN: throw .isDown(name)
        case let code: throw .cannotOpen(name, reason: SystemError("bind", code: code).description)
        }
    }

    /// Lets nothing in any more. What arrived before can still be read.
    public mutating func stopArrivals() {
        // The filter stops new packets on every processor at once; binding to another EtherType waits for
        // those that had already passed it. If the interface is gone both fail, and then nothing arrives
        // anyway.
        _ = spillway_packet_reject_all(descriptor)
        _ = spillway_packet_bind(descriptor, Int32(index), Self.noFrames)
        _ = statistics()
    }

    /// Whether all that arrived before `stopArrivals` has been read.
    public var isDrained: Bool {
        @_noLocks get { readCount >= counts.captured &- counts.dropped }
    }

    /// What the kernel has counted since the start (PACKET_STATISTICS). Ask at least once every 2^32 packets.
    @_noLocks
    public mutating func statistics() -> KernelCounts {
        var packets: UInt32 = 0
        var drops: UInt32 = 0
        if unsafe spillway_packet_statistics(descriptor, &packets, &drops) == 0 {
            counts.captured &+= UInt64(packets)
            counts.dropped &+= UInt64(drops)
        }
        return counts
    }

    /// Packets of one interface, as the kernel counts them. Those the filter rejects are not among them.
    public struct KernelCounts: BitwiseCopyable, Sendable, Equatable {
        /// All that reached the socket, those that were dropped included.
        public var captured: UInt64
        /// Those that found the ring full.
        public var dropped: UInt64

        /// Counts as given, or none.
        public init(captured: UInt64 = 0, dropped: UInt64 = 0) {
            self.captured = captured
            self.dropped = dropped
        }
    }
}

extension PcapInterface {
    /// What can be said of an interface besides its packets.
    public enum Condition: String, Sendable {
        /// It works, or at least nothing is known to be wrong.
        case up
        /// It is configured down; packets come again once it is up.
        case down
        /// It was removed, whether or not another one has its name now.
        case removed
    }

    /// How the interface is now.
    public var condition: Condition {
        if name == "any" { return .up }
        // It may have been renamed, and be without a name that can be found for a moment.
        guard let name = Self.name(of: index) else { return .removed }
        let flags = unsafe spillway_interface_flags(descriptor, name)
        return flags < 0 || flags & Int32(IFF_UP) != 0 ? .up : .down
    }

    /// Whether an interface leads back to this host.
    public static func isLoopback(_ name: String) -> Bool {
        let asking = OwnedDescriptor(socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
        let flags = unsafe spillway_interface_flags(asking.number, name)
        return flags >= 0 && flags & Int32(IFF_LOOPBACK) != 0
    }

    /// Why the capture failed; only after `hasFailed`.
    public var failure: PcapInterfaceError {
        if condition == .removed { return .removed(name) }
        return .cannotRead(name, reason: unsafe String(cString: pcap_geterr(handle)))
    }

    /// The name libpcap wants and the kernel's index, 0 for `any`.
    private static func identify(_ name: String) throws(PcapInterfaceError) -> (String, UInt32) {
        guard let found = identity(name) else { throw .noSuchInterface(name) }
        return found
    }

    /// The interface's own name and the kernel's index, 0 for `any`; nil if there is none.
    static func identity(_ name: String) -> (String, UInt32)? {
        if name == "any" { return (name, 0) }
        // libpcap also opens other things than network interfaces, by name; they have no such index.
        let index = name.utf8.contains(0) ? 0 : unsafe if_nametoindex(name)
        guard index != 0, let own = Self.name(of: index) else { return nil }
        return (own, index)
    }

    /// The name an interface has now; nil if it is gone.
    static func name(of index: UInt32) -> String? {
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        return unsafe if_indextoname(index, &name) == nil ? nil : PcapHandle.text(name)
    }

    /// The ring in whole blocks, no fewer than the two without which reading one would stop the other.
    private static func ringByteCount(_ ringBytes: Int) -> Int {
        let limit = Int(Int32.max) / blockBytes * blockBytes
        return min(max(roundUp(min(ringBytes, limit), blockBytes), 2 * blockBytes), limit)
    }
}
