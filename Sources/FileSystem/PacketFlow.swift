import Pcapng

/// What decides where a packet goes.
struct PacketFlow: BitwiseCopyable {
    /// The hash of the flow; of a later fragment, the one without ports.
    var hash: UInt64 = 0
    /// Names the datagram a fragment belongs to; 0 if the packet is no fragment, or its ports do not matter.
    var datagram: UInt64 = 0
    /// Whether it is the fragment with the ports.
    var isFirstFragment = false

    @_noLocks init() {}

    /// Reads the headers of a packet.
    @_noLocks
    init(_ bytes: UnsafeRawPointer, captured: Int, linkType: UInt16, mode: ClusterMode) {
        let headers = unsafe PacketHeaders(bytes, captured: captured, linkType: linkType)
        var flow = ClusterHash()
        let (usesVLAN, usesAddresses, usesPorts) = Self.parts(of: mode)
        if usesVLAN {
            flow.mix(UInt64(headers.vlanCount) << 32 | UInt64(headers.outerVLAN) << 16 | UInt64(headers.innerVLAN))
        }
        if usesAddresses {
            if headers.version == 0 {
                unsafe Self.mixStations(&flow, bytes, captured: captured, linkType: linkType)
            } else {
                Self.mixEnds(&flow, headers, usesPorts: usesPorts)
                if usesPorts && headers.isFragment { identify(headers) }
            }
        }
        hash = flow.value
    }

    @_noLocks
    private static func parts(of mode: ClusterMode) -> (vlan: Bool, addresses: Bool, ports: Bool) {
        switch mode {
        case .vlanAddressesPorts: (true, true, true)
        case .vlan: (true, false, false)
        case .addresses: (false, true, false)
        case .vlanAddresses: (true, true, false)
        case .addressesPorts: (false, true, true)
        }
    }

    @_noLocks
    private static func mixEnds(_ flow: inout ClusterHash, _ headers: PacketHeaders, usesPorts: Bool) {
        var low = (UInt64(bigEndian: headers.sourceHigh), UInt64(bigEndian: headers.sourceLow), UInt64(0))
        var high = (UInt64(bigEndian: headers.destinationHigh), UInt64(bigEndian: headers.destinationLow), UInt64(0))
        if usesPorts && headers.hasPorts {
            low.2 = UInt64(headers.sourcePort)
            high.2 = UInt64(headers.destinationPort)
        }
        let isOrdered = low.0 != high.0 ? low.0 < high.0 : low.1 != high.1 ? low.1 < high.1 : low.2 <= high.2
        if !isOrdered { (low, high) = (high, low) }
        flow.mix(low.0)
        flow.mix(low.1)
        flow.mix(high.0)
        flow.mix(high.1)
        if usesPorts { flow.mix(UInt64(headers.protocolNumber) << 32 | low.2 << 16 | high.2) }
    }

    /// What is no IP goes by the two stations of the Ethernet frame, in either direction; without these all together.
    @_noLocks
    private static func mixStations(
        _ flow: inout ClusterHash, _ bytes: UnsafeRawPointer, captured: Int, linkType: UInt16
    ) {
        guard linkType == 1, captured >= 12 else { return }
        var (one, other) = (UInt64(0), UInt64(0))
        for index in 0..<6 {
            one = one << 8 | UInt64(unsafe bytes.load(fromByteOffset: index, as: UInt8.self))
            other = other << 8 | UInt64(unsafe bytes.load(fromByteOffset: index + 6, as: UInt8.self))
        }
        flow.mix(min(one, other))
        flow.mix(max(one, other))
    }

    /// The datagram: addresses and identification, for IPv4 the protocol as well (RFC 791, RFC 8200).
    @_noLocks
    private mutating func identify(_ headers: PacketHeaders) {
        var name = ClusterHash()
        name.mix(headers.sourceHigh)
        name.mix(headers.sourceLow)
        name.mix(headers.destinationHigh)
        name.mix(headers.destinationLow)
        let protocolNumber = headers.version == 4 ? headers.protocolNumber : 0
        name.mix(UInt64(headers.version) << 40 | UInt64(protocolNumber) << 32 | UInt64(headers.identification))
        datagram = name.value | 1
        isFirstFragment = headers.fragmentOffset == 0
    }
}
