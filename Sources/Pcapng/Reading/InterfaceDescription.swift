/// What a capture file says about an interface: a pcapng Interface Description Block, or the header of a pcap file.
public struct InterfaceDescription: Hashable, Sendable {
    /// What the packets of this interface begin with.
    public var linkType: LinkType
    /// The greatest number of bytes captured of a packet; 0 means no limit.
    public var snapLength: UInt32
    /// The name of the device (if_name).
    public var name: String?
    /// A description of the device (if_description).
    public var description: String?
    /// The capture filter in libpcap's language (if_filter); filters of other kinds are left out.
    public var filter: String?
    /// The hardware of the interface (if_hardware).
    public var hardware: String?
    /// The operating system of the capturing machine (if_os).
    public var operatingSystem: String?
    /// The six octets of its address (if_MACaddr).
    public var hardwareAddress: [UInt8]?
    /// The octets of the frame check sequence at the end of each packet, nil when unknown. From if_fcslen, or from the
    /// link type word of a pcap file.
    public var frameCheckOctets: UInt8?
    /// The unit of the time stamps in the file as in if_tsresol: 6 is microseconds, 9 nanoseconds. The parser has
    /// already turned the times it delivers into nanoseconds.
    public var timestampResolution: UInt8 = 6
    /// Seconds that were added to every time stamp of the file (if_tsoffset).
    public var timestampOffset: Int64 = 0

    /// Makes a description with nothing but a link type and a snap length.
    public init(linkType: LinkType, snapLength: UInt32) {
        self.linkType = linkType
        self.snapLength = snapLength
    }

    /// Takes one option of an Interface Description Block. The first of several of one kind counts.
    mutating func take(_ option: OptionReader.Option, in window: borrowing InputWindow) {
        func text(from start: Int = 0) -> String {
            let bytes = window.bytes(at: option.valueOffset + start, count: option.length - start)
            // Some writers count a closing NUL.
            return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        switch option.code {
        case 2 where name == nil: name = text()
        case 3 where description == nil: description = text()
        case 6 where hardwareAddress == nil && option.length == 6:
            hardwareAddress = window.bytes(at: option.valueOffset, count: 6)
        case 11 where filter == nil && option.length >= 1 && window.byte(at: option.valueOffset) == 0:
            filter = text(from: 1)
        case 12 where operatingSystem == nil: operatingSystem = text()
        case 13 where frameCheckOctets == nil && option.length == 1:
            let length = window.byte(at: option.valueOffset)
            // Early drafts counted bits, and no frame check sequence has 16 octets.
            frameCheckOctets = length >= 16 ? length / 8 : length
        case 15 where hardware == nil: hardware = text()
        default: break
        }
    }
}
