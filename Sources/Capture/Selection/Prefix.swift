import Glibc

/// A range of addresses that share their leading bits: `192.0.2.0/24`, `2001:db8::/32`, or one address.
struct Prefix: Hashable {
    /// 4 or 16 bytes in network order; all that do not count are zero.
    let bytes: [UInt8]
    /// Bits that count.
    let length: Int

    /// A prefix; nil if `length` is more than there is, or a bit behind it is set.
    init?(_ bytes: [UInt8], length: Int) {
        guard length <= bytes.count * 8 else { return nil }
        (self.bytes, self.length) = (bytes, length)
        guard Self.masked(bytes, length) == bytes else { return nil }
    }

    /// Parses what stands behind `host` or `net`. A net of fewer than four parts is as long as they are (pcap-filter(7)).
    init?(parsing text: String, isNet: Bool) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let (bytes, natural) = Self.address(parts[0], mayBeShort: isNet) else { return nil }
        guard parts.count == 2 else {
            self.init(bytes, length: natural)
            return
        }
        guard isNet, let length = Int(parts[1]), length >= 0 else { return nil }
        self.init(bytes, length: length)
    }

    /// `net ADDRESS mask MASK`, the mask being ones and then zeros.
    init?(net: String, mask: String) {
        guard let (bytes, _) = Self.address(net, mayBeShort: false), bytes.count == 4,
            let (ones, _) = Self.address(mask, mayBeShort: false), ones.count == 4
        else { return nil }
        let number = ones.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let length = (~number).leadingZeroBitCount
        guard number == Self.mask(length) else { return nil }
        self.init(bytes, length: length)
    }

    /// The prefix of fewer bits that this one lies in.
    func widened(to length: Int) -> Prefix { Prefix(known: Self.masked(bytes, length), length: length) }

    private init(known bytes: [UInt8], length: Int) { (self.bytes, self.length) = (bytes, length) }

    private static func mask(_ length: Int) -> UInt32 { length == 0 ? 0 : .max << (32 - UInt32(length)) }

    private static func masked(_ bytes: [UInt8], _ length: Int) -> [UInt8] {
        bytes.enumerated().map { place, byte in
            let bits = min(max(length - place * 8, 0), 8)
            return byte & UInt8(truncatingIfNeeded: 0xff00 >> bits)
        }
    }

    private static func address(_ text: String, mayBeShort: Bool) -> (bytes: [UInt8], natural: Int)? {
        if text.contains(":") {
            var bytes = [UInt8](repeating: 0, count: 16)
            guard unsafe inet_pton(AF_INET6, text, &bytes) == 1 else { return nil }
            return (bytes, 128)
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { $0.allSatisfy(\.isNumber) ? UInt8($0) : nil }
        guard bytes.count == parts.count, bytes.count == 4 || (mayBeShort && (1...3).contains(bytes.count)) else {
            return nil
        }
        return (bytes + [UInt8](repeating: 0, count: 4 - bytes.count), bytes.count * 8)
    }
}
