/// What packets look like.
public struct Traffic: Sendable, Equatable {
    /// The protocol over IP.
    public enum Transport: Sendable, Equatable {
        /// Datagrams.
        case udp
        /// One direction of connections: SYN, this many data segments, FIN, and again.
        case tcp(segments: UInt32)
    }

    /// The version of IP.
    public enum Version: Sendable { case ipv4, ipv6 }

    /// How large packets are, in bytes of the Ethernet frame that would hold the whole packet: header and VLAN tags
    /// included, frame check sequence not.
    public enum Size: Sendable, Equatable {
        /// Evenly spread over a range; a single size is a range of one.
        case range(ClosedRange<Int>)
        /// 7 small, 4 middle and 1 large one of 12.
        case imix
    }

    /// How packets are fragmented.
    public struct Fragmentation: Sendable, Equatable {
        /// In which order fragments come, and which.
        public enum Order: Sendable {
            case inOrder, shuffled
            /// Each begins with the last 8 bytes of the one before.
            case overlapping
            /// One of each packet is missing.
            case incomplete
        }

        /// Bytes of IP payload in a fragment, a multiple of 8 and at least 16.
        public var size: Int
        /// In which order they come.
        public var order: Order

        /// Fragments of this size in this order.
        public init(size: Int, order: Order) {
            self.size = size
            self.order = order
        }
    }

    /// The protocol over IP.
    public var transport = Transport.udp
    /// The version of IP.
    public var version = Version.ipv4
    /// How large packets are.
    public var size = Size.range(64...64)
    /// How many flows there are; packet n belongs to flow n modulo this.
    public var flows: UInt32 = 1
    /// VLAN identifiers, the outer tag first; two at most.
    public var tags: [UInt16] = []
    /// How packets are fragmented; nil sends them whole.
    public var fragmentation: Fragmentation?
    /// Where frames are addressed to; nobody's address unless given.
    public var destination: [UInt8] = [0x02, 0x00, 0x5e, 0x10, 0x00, 0x02]

    /// UDP over IPv4 in one flow of 64-byte frames.
    public init() {}
}

extension Traffic {
    /// Bytes in front of the IP header.
    var linkLength: Int { 14 + 4 * tags.count }

    /// Bytes of the IP header.
    var networkLength: Int { version == .ipv4 ? 20 : 40 }

    /// Bytes of the smallest packet: all headers and the number.
    public var leastSize: Int {
        linkLength + networkLength + (transport == .udp ? 8 : 20) + 8
    }

    /// The sizes of a mix of 12 packets: the usual 64, 594 and 1518 bytes less the frame check sequence; the smallest
    /// grow to what the headers need, and tags come on top.
    var mix: [Int] {
        let tags = 4 * tags.count
        return [Int](repeating: max(60 + tags, leastSize), count: 7) + [Int](repeating: 590 + tags, count: 4)
            + [1514 + tags]
    }

    /// The sizes packets can have.
    public var sizes: ClosedRange<Int> {
        switch size {
        case .range(let range): range
        case .imix: mix[0]...mix[11]
        }
    }

    /// Bytes of the largest frame.
    public var largestFrame: Int {
        let whole = sizes.upperBound
        guard let fragmentation, whole - linkLength - networkLength > fragmentation.size else { return whole }
        let extra = (version == .ipv6 ? 8 : 0) + (fragmentation.order == .overlapping ? 8 : 0)
        return linkLength + networkLength + fragmentation.size + extra
    }

    /// The largest frame that fits into a page of the kernel's pool beside what the kernel keeps there.
    public static let frameLimit = 3072
    /// The largest number of flows: addresses give 65536, and source ports so many times that.
    public static let flowLimit: UInt64 = 1 << 20
    /// The largest number of fragments of a packet.
    public static let fragmentLimit = 4096
}
