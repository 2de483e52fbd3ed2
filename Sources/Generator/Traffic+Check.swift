extension Traffic {
    /// What cannot be sent.
    public enum Fault: Error, Sendable, Equatable {
        /// Packets are smaller than their headers and the number.
        case tooSmall(least: Int)
        /// A packet is larger than IP allows.
        case tooLargePacket(most: Int)
        /// A frame is larger than the kernel's pool has room for.
        case tooLargeFrame(most: Int)
        /// A packet has more fragments than are supported.
        case tooManyFragments(most: Int)
        /// Packets are too small to be fragmented, and one fragment of each is to be missing.
        case nothingMissing(least: Int)
    }

    /// Checks what the values alone cannot tell.
    public func check() throws(Fault) {
        let headers = linkLength + networkLength
        guard sizes.lowerBound >= leastSize else { throw .tooSmall(least: leastSize) }
        // The total length of IPv4 includes its header, the payload length of IPv6 does not.
        let mostPacket = linkLength + (version == .ipv4 ? 65_535 : 40 + 65_535)
        guard sizes.upperBound <= mostPacket else { throw .tooLargePacket(most: mostPacket) }
        guard largestFrame <= Self.frameLimit else { throw .tooLargeFrame(most: Self.frameLimit) }
        guard let fragmentation else { return }
        guard mostFragments <= UInt64(Self.fragmentLimit) else { throw .tooManyFragments(most: Self.fragmentLimit) }
        if fragmentation.order == .incomplete, sizes.lowerBound - headers <= fragmentation.size {
            throw .nothingMissing(least: headers + fragmentation.size + 1)
        }
    }
}
