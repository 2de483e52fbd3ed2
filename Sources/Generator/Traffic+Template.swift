internal import CBPF

/// The settings as the program in the kernel reads them, and the frame it starts from.
extension Traffic {
    /// What fills payloads behind the number.
    static let pattern = Array("spillway".utf8)

    /// The settings for an interface.
    ///
    /// - Parameters:
    ///   - hardware: the interface's own address.
    ///   - limit: the first number that is not sent.
    func settings(interface: UInt32, hardware: [UInt8], limit: UInt64) -> spillway_generator {
        var state = spillway_generator()
        state.interface = interface
        state.room = UInt32(room)
        state.link_length = UInt32(linkLength)
        state.version = version == .ipv4 ? 4 : 6
        state.flows = flows
        switch transport {
        case .udp: state.protocol = 17
        case .tcp(let segments): (state.protocol, state.segments) = (6, segments)
        }
        setSizes(&state)
        setAddresses(&state)
        let link = linkHeader(hardware)
        unsafe withUnsafeMutableBytes(of: &state.link) { unsafe $0.copyBytes(from: link) }
        unsafe withUnsafeMutableBytes(of: &state.pattern) { unsafe $0.copyBytes(from: Self.pattern) }
        if let fragmentation {
            state.fragment = UInt32(fragmentation.size)
            state.fragment_order = fragmentation.order.code
        }
        state.limit = limit
        return state
    }

    /// Bytes of the frame the kernel copies into each page: at least what the headers take when written in full.
    var room: Int { max(largestFrame, 160) }

    /// The frame the kernel copies into each page: nothing but the pattern, anchored behind the number, because all
    /// that stands before is written for each packet.
    var template: [UInt8] {
        let start = leastSize
        return (0..<room).map { Self.pattern[(($0 - start) % 8 + 8) % 8] }
    }

    private func setSizes(_ state: inout spillway_generator) {
        switch size {
        case .range(let range):
            state.size = UInt32(range.lowerBound)
            state.span = UInt32(range.count)
        case .imix:
            let mix = mix.map(UInt32.init)
            unsafe withUnsafeMutableBytes(of: &state.mix) { target in
                unsafe mix.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
            }
        }
    }

    /// Addresses for benchmarks: 198.18.0.0/15 (RFC 2544, C.2.2) and 2001:2::/48 (RFC 5180, 8).
    private func setAddresses(_ state: inout spillway_generator) {
        switch version {
        case .ipv4:
            state.source.0 = UInt32(0xc612_0000).bigEndian
            state.destination.0 = UInt32(0xc613_0001).bigEndian
        case .ipv6:
            let network = (UInt32(0x2001_0002).bigEndian, UInt32(0).bigEndian)
            state.source = (network.0, network.1, 0, 0)
            state.destination = (network.0, network.1, UInt32(1).bigEndian, UInt32(1).bigEndian)
        }
        state.source_port = 10_000
        state.destination_port = 9
    }

    /// The Ethernet header: with two tags, the outer one is a service tag (IEEE 802.1Q, 9.6).
    private func linkHeader(_ hardware: [UInt8]) -> [UInt8] {
        var header = destination + hardware
        for (index, tag) in tags.enumerated() {
            header += tags.count == 2 && index == 0 ? [0x88, 0xa8] : [0x81, 0x00]
            header += [UInt8(tag >> 8), UInt8(tag & 0xff)]
        }
        return header + (version == .ipv4 ? [0x08, 0x00] : [0x86, 0xdd])
    }
}

extension Traffic.Fragmentation.Order {
    var code: UInt32 {
        switch self {
        case .inOrder: SPILLWAY_FRAGMENTS_IN_ORDER.rawValue
        case .shuffled: SPILLWAY_FRAGMENTS_SHUFFLED.rawValue
        case .overlapping: SPILLWAY_FRAGMENTS_OVERLAPPING.rawValue
        case .incomplete: SPILLWAY_FRAGMENTS_INCOMPLETE.rawValue
        }
    }
}
