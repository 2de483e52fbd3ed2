internal import Pcapng

/// What fragments of one datagram share: six words.
///
/// IPv4 includes the protocol (RFC 791). IPv6 does not: RFC 8200, section 4.5, lets it differ, and only the first
/// fragment's counts. MPLS labels are left out, since an entropy label (RFC 6790) can differ between the fragments of
/// a datagram.
struct DatagramKey: BitwiseCopyable {
    private let sourceHigh: UInt64, sourceLow: UInt64
    private let destinationHigh: UInt64, destinationLow: UInt64
    private let identity: UInt64
    private let origin: UInt64

    @_noLocks @inline(__always)
    init(_ headers: FragmentHeaders, interface: UInt32) {
        (sourceHigh, sourceLow) = (headers.sourceHigh, headers.sourceLow)
        (destinationHigh, destinationLow) = (headers.destinationHigh, headers.destinationLow)
        let kind = headers.version == 4 ? UInt64(4) << 8 | UInt64(headers.protocolNumber) : UInt64(6) << 8
        identity = UInt64(headers.identification) << 32 | UInt64(interface)
        origin =
            UInt64(headers.outerVLAN) << 48 | UInt64(headers.innerVLAN) << 32 | UInt64(headers.vlanCount) << 16 | kind
    }

    /// The key of no datagram, for places that are free.
    init() {
        (sourceHigh, sourceLow, destinationHigh, destinationLow, identity, origin) = (0, 0, 0, 0, 0, 0)
    }

    @_noLocks @inline(__always)
    func isSame(_ other: DatagramKey) -> Bool {
        (identity ^ other.identity) | (origin ^ other.origin) | (sourceLow ^ other.sourceLow)
            | (destinationLow ^ other.destinationLow) | (sourceHigh ^ other.sourceHigh)
            | (destinationHigh ^ other.destinationHigh) == 0
    }

    /// A hash that nobody can aim at who does not know the seed: words are masked with it and multiplied in pairs into 128
    /// bits, of which both halves count.
    @_noLocks @inline(__always)
    func hash(_ seed: HashSeed) -> UInt64 {
        let first = Self.fold(sourceHigh ^ seed.first, sourceLow ^ seed.second)
        let second = Self.fold(destinationHigh ^ seed.second, destinationLow ^ seed.third)
        let third = Self.fold(identity ^ seed.third, origin ^ seed.fourth)
        return Self.fold(first ^ second ^ seed.fourth, third ^ seed.first)
    }

    @_noLocks @inline(__always)
    private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}

/// What makes the hash of a run its own: 256 random bits. All workers of a run have the same.
public struct HashSeed: BitwiseCopyable, Sendable {
    let first: UInt64, second: UInt64, third: UInt64, fourth: UInt64

    /// A seed with these words, for tests.
    public init(_ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64) {
        (self.first, self.second, self.third, self.fourth) = (first, second, third, fourth)
    }

    /// A random seed from the kernel's generator.
    public static func random() -> HashSeed {
        var generator = SystemRandomNumberGenerator()
        return HashSeed(generator.next(), generator.next(), generator.next(), generator.next())
    }
}
