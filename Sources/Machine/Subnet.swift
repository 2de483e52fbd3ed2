/// A range of addresses as `ADDRESS/BITS`, or a single address.
public struct Subnet: Hashable, Sendable, CustomStringConvertible {
    private let high: UInt64
    private let low: UInt64
    /// Leading bits of the 128 that must agree.
    private let bits: Int
    /// As it was written.
    public let description: String

    /// Parses `192.0.2.0/24`, `2001:db8::/32`, or an address alone; nil for anything else. Bits of the address behind the
    /// given length must be zero: otherwise it is not clear which of the two was meant.
    public init?(parsing text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let isIPv6 = parts[0].contains(":")
        guard let endpoint = Endpoint(parsing: isIPv6 ? "[\(parts[0])]:1" : "\(parts[0]):1"), endpoint.scope == 0
        else { return nil }
        let width = isIPv6 ? 128 : 32
        var length = width
        if parts.count == 2 {
            guard let number = Int(parts[1]), (0...width).contains(number), parts[1] == "\(number)" else { return nil }
            length = number
        }
        bits = length + 128 - width
        high = UInt64(bigEndian: endpoint.addressHigh)
        low = UInt64(bigEndian: endpoint.addressLow)
        description = text
        guard (high & ~Self.mask(bits)) == 0, (low & ~Self.mask(bits - 64)) == 0 else { return nil }
    }

    /// Whether an address lies in it; ports do not matter.
    public func contains(_ endpoint: Endpoint) -> Bool {
        let (theirHigh, theirLow) = (UInt64(bigEndian: endpoint.addressHigh), UInt64(bigEndian: endpoint.addressLow))
        return (theirHigh ^ high) & Self.mask(bits) == 0 && (theirLow ^ low) & Self.mask(bits - 64) == 0
    }

    /// So many leading ones of 64.
    private static func mask(_ bits: Int) -> UInt64 {
        bits <= 0 ? 0 : bits >= 64 ? .max : ~(UInt64.max >> UInt64(bits))
    }
}
