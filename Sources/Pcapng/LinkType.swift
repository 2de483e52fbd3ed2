/// What the bytes of a packet begin with: a value of the tcpdump.org LINKTYPE registry, as it stands in capture files.
public struct LinkType: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The number in the registry.
    public let value: UInt16

    /// Makes a link type from its number in the registry.
    @_noLocks @inlinable
    public init(_ value: UInt16) { self.value = value }

    /// LINKTYPE_NULL: BSD loopback, a 4-byte family in the byte order of the capturing machine.
    public static var null: LinkType { LinkType(0) }
    /// LINKTYPE_ETHERNET (EN10MB).
    public static var ethernet: LinkType { LinkType(1) }
    /// LINKTYPE_RAW: IPv4 or IPv6 without a link header. libpcap cannot read it in two sections of one file.
    public static var rawIP: LinkType { LinkType(101) }
    /// LINKTYPE_LINUX_SLL: Linux "cooked" capture.
    public static var linuxCooked: LinkType { LinkType(113) }
    /// LINKTYPE_IPV4: IPv4 without a link header.
    public static var ipv4: LinkType { LinkType(228) }
    /// LINKTYPE_IPV6: IPv6 without a link header.
    public static var ipv6: LinkType { LinkType(229) }
    /// LINKTYPE_LINUX_SLL2: Linux "cooked" capture, version 2, which names the interface.
    public static var linuxCooked2: LinkType { LinkType(276) }

    /// The name tcpdump uses, nil for a value that is not in the short list kept here.
    public var name: String? {
        switch value {
        case 0: "NULL"
        case 1: "EN10MB"
        case 6: "IEEE802"
        case 8: "SLIP"
        case 9: "PPP"
        case 10: "FDDI"
        case 50: "PPP_SERIAL"
        case 51: "PPP_ETHER"
        case 100: "ATM_RFC1483"
        case 101: "RAW"
        case 104: "C_HDLC"
        case 105: "IEEE802_11"
        case 107: "FRELAY"
        case 108: "LOOP"
        case 113: "LINUX_SLL"
        case 117: "PFLOG"
        case 119: "PRISM_HEADER"
        case 122: "IP_OVER_FC"
        case 127: "IEEE802_11_RADIO"
        case 163: "IEEE802_11_RADIO_AVS"
        case 187: "BLUETOOTH_HCI_H4"
        case 189: "USB_LINUX"
        case 192: "PPI"
        case 195: "IEEE802_15_4"
        case 201: "BLUETOOTH_HCI_H4_WITH_PHDR"
        case 220: "USB_LINUX_MMAPPED"
        case 227: "CAN_SOCKETCAN"
        case 228: "IPV4"
        case 229: "IPV6"
        case 239: "NFLOG"
        case 249: "USBPCAP"
        case 253: "NETLINK"
        case 276: "LINUX_SLL2"
        default: nil
        }
    }

    /// The name and the number, for messages: "EN10MB (1)", or "link type 4711".
    public var description: String {
        if let name { return "\(name) (\(value))" }
        return "link type \(value)"
    }
}
