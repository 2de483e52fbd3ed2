/// A block of IP addresses, `192.0.2.0/24` or `2001:db8::/32` (RFC 4632); a single address is a block of its own.
public struct AddressBlock: Hashable, Sendable, CustomStringConvertible {
    /// The first address; its port is 0.
    public let first: Endpoint
    /// Length of the prefix in bits, of 32 for IPv4 and of 128 for IPv6.
    public let length: Int

    /// From text; nil for anything else, and for an address with bits behind the prefix.
    public init?(parsing text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = Endpoint(address: String(parts[0]), port: 0), !parts[0].contains("%") else { return nil }
        let width = address.isIPv4 ? 32 : 128
        var length = width
        if parts.count == 2 {
            guard parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let given = Int(parts[1]), given <= width
            else { return nil }
            length = given
        }
        first = address
        self.length = length
        let mask = Self.mask(length + 128 - width)
        guard UInt64(bigEndian: address.addressHigh) & ~mask.high == 0,
            UInt64(bigEndian: address.addressLow) & ~mask.low == 0
        else { return nil }
    }

    /// Whether an address is in the block. An IPv4 address is the same in both of its forms.
    public func contains(_ address: Endpoint) -> Bool {
        guard address.isIPv4 == first.isIPv4 else { return false }
        let mask = Self.mask(first.isIPv4 ? length + 96 : length)
        return (UInt64(bigEndian: address.addressHigh) ^ UInt64(bigEndian: first.addressHigh)) & mask.high == 0
            && (UInt64(bigEndian: address.addressLow) ^ UInt64(bigEndian: first.addressLow)) & mask.low == 0
    }

    /// The address, a slash, the length.
    public var description: String { "\(first.addressText)/\(length)" }

    /// The first `length` of 128 bits.
    private static func mask(_ length: Int) -> (high: UInt64, low: UInt64) {
        func ones(_ count: Int) -> UInt64 { count <= 0 ? 0 : count >= 64 ? .max : ~(UInt64.max >> UInt64(count)) }
        return (ones(length), ones(length - 64))
    }
}
