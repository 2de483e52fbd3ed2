internal import CMachine
internal import Pcapng

/// The headers of a datagram: which frame they come from, and where in them things stand that must be mended.
struct DatagramHead: BitwiseCopyable {
    /// The stored frame; `FrameStore.none` while it is still where it was captured.
    var frame: UInt32 = FrameStore.none
    /// What the frame covers of the datagram, which decides against another first fragment.
    let extent: Extent
    private let network: Int
    private let end: Int
    private let announcement: Int
    private let snap: Int
    private let type: Int
    private let session: Int
    private let protocolNumber: UInt8
    private let version: UInt8

    @_noLocks
    init(_ headers: FragmentHeaders, _ extent: Extent) {
        self.extent = extent
        (network, end) = (Int(headers.networkOffset), Int(headers.headerEnd))
        announcement = Int(headers.announcement)
        (snap, type, session) = (Int(headers.snapPlace), Int(headers.typePlace), Int(headers.sessionPlace))
        (protocolNumber, version) = (headers.protocolNumber, headers.version)
    }

    /// Bytes of the captured headers, link layer included.
    var byteCount: Int { @_noLocks get { end } }

    /// LLC and SNAP go: a length that fits the datagram may not fit its field, and an EtherType says the same.
    private var removed: Int { @_noLocks get { snap == 0 ? 0 : 8 } }

    /// Bytes of the mended headers.
    var mendedByteCount: Int { @_noLocks get { end - removed } }

    /// Whether so much data can be told of by the length field of the IP header.
    @_noLocks
    func fits(_ length: Int) -> Bool {
        (version == 4 ? end - network : end - network - 40) + length <= 65535
    }

    /// Mends the headers of a datagram: lengths, checksum, fragment fields.
    ///
    /// - Parameters:
    ///   - start: the captured headers, `byteCount` bytes; in the end `mendedByteCount`.
    ///   - length: bytes of the datagram's data.
    @_noLocks
    func mend(_ start: UnsafeMutableRawPointer, length: Int) {
        if snap != 0 {
            unsafe Self.store(Self.load(start, snap + 6), to: start, type)
            unsafe spillway_move(start + snap, start + snap + 8, end - snap - 8)
        }
        let network = network - removed
        let total = mendedByteCount - network + length
        if session != 0 {
            // The length of PPPoE counts what stands behind its six bytes.
            let session = session - removed
            unsafe Self.store(UInt16(min(network - (session + 5) + total, 65535)), to: start, session + 3)
        }
        if version == 4 {
            unsafe mendIPv4(start + network, total: total)
        } else {
            unsafe Self.store(UInt16(total - 40), to: start, network + 4)
            unsafe start.storeBytes(of: protocolNumber, toByteOffset: announcement - removed, as: UInt8.self)
        }
    }

    @_noLocks
    private func mendIPv4(_ header: UnsafeMutableRawPointer, total: Int) {
        unsafe Self.store(UInt16(total), to: header, 2)
        // Of the flags "more fragments" goes; the others stay as the sender set them.
        unsafe Self.store(Self.load(header, 6) & 0xC000, to: header, 6)
        unsafe Self.store(0, to: header, 10)
        var sum: UInt32 = 0
        var offset = 0
        while offset < end - self.network {
            sum += UInt32(unsafe Self.load(header, offset))
            offset += 2
        }
        sum = (sum & 0xFFFF) + (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16)
        unsafe Self.store(~UInt16(sum), to: header, 10)
    }

    @_noLocks @inline(__always)
    private static func load(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UInt16 {
        UInt16(bigEndian: unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    @_noLocks @inline(__always)
    private static func store(_ value: UInt16, to base: UnsafeMutableRawPointer, _ offset: Int) {
        unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }
}
