/// What becomes of a datagram whose fragments overlap.
///
/// Hosts differ in whose bytes they keep, which an attacker can use to show a sensor another datagram than the host. The
/// named policies are those of target-based reassembly (Novak 2005; Shankar and Paxson 2003), with the details that Snort and
/// Suricata agree on; for `bsdRight` those of Snort.
@frozen public enum OverlapPolicy: UInt8, Sendable, CaseIterable {
    /// The datagram is not put together (RFC 5722, and Linux since 4.19).
    case drop
    /// What came first stays.
    case first
    /// What comes last wins.
    case last
    /// The fragment that begins earlier; of two that begin together the one that came first.
    case bsd
    /// The newcomer if it ends later, or if both end together and it does not begin later.
    case bsdRight
    /// The fragment that begins earlier; of two that begin together the newcomer.
    case linux
    /// What came first, unless the newcomer begins before it and ends behind it.
    case windows
    /// What came first, unless the newcomer begins before it and does not end before it.
    case solaris

    /// As people write it.
    public var name: String {
        switch self {
        case .bsdRight: "bsd-right"
        default: "\(self)"
        }
    }

    /// Whether a newcomer's bytes replace those of a fragment that came before, where both have some.
    ///
    /// - Parameters:
    ///   - present: where the former fragment begins and ends in the datagram.
    ///   - newcomer: where the later one does.
    @_noLocks
    func prefersNewcomer(_ present: Extent, _ newcomer: Extent) -> Bool {
        switch self {
        case .drop, .first: false
        case .last: true
        case .bsd: newcomer.lower < present.lower
        case .bsdRight:
            newcomer.upper > present.upper || (newcomer.upper == present.upper && newcomer.lower <= present.lower)
        case .linux: newcomer.lower <= present.lower
        case .windows: newcomer.lower < present.lower && newcomer.upper > present.upper
        case .solaris: newcomer.lower < present.lower && newcomer.upper >= present.upper
        }
    }
}

/// Where a fragment's data begins and ends in its datagram, in bytes.
struct Extent: BitwiseCopyable {
    var lower: UInt16
    var upper: UInt16

    @_noLocks @inline(__always)
    init(_ lower: UInt16, _ upper: UInt16) { (self.lower, self.upper) = (lower, upper) }

    var count: Int { @_noLocks @inline(__always) get { Int(upper) - Int(lower) } }
}
