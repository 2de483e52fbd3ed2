internal import CXDP
import Machine

extension XDPQueue {
    /// The kernel's figures about this socket, as they are (XDP_STATISTICS); the last three have nothing to do with
    /// receiving, but for the empty fill ring.
    public struct Statistics: BitwiseCopyable, Sendable, Equatable {
        /// Packets dropped, for want of a frame or as too large.
        public var rxDropped: UInt64 = 0
        /// Addresses in the fill ring that the kernel refused.
        public var rxInvalidDescriptors: UInt64 = 0
        /// Descriptors in the send ring that the kernel refused.
        public var txInvalidDescriptors: UInt64 = 0
        /// Packets dropped because the receive ring was full.
        public var rxRingFull: UInt64 = 0
        /// How often the kernel found no frame in the fill ring.
        public var rxFillRingEmpty: UInt64 = 0
        /// How often the kernel found nothing in the send ring.
        public var txRingEmpty: UInt64 = 0

        /// None.
        @_noLocks public init() {}
    }

    /// Packets that were lost on the way to this socket, as the kernel counts them.
    public struct Losses: BitwiseCopyable, Sendable, Equatable {
        /// The fill ring was empty: too few frames for the time between two bursts.
        public var fillRingEmpty: UInt64 = 0
        /// The receive ring was full.
        public var receiveRingFull: UInt64 = 0
        /// Larger than a frame, and the driver or the program takes one buffer only.
        public var oversize: UInt64 = 0
        /// Not packets: addresses in the fill ring that the kernel refused.
        public var invalidDescriptors: UInt64 = 0

        /// None.
        @_noLocks public init() {}

        /// All packets that were lost.
        public var packets: UInt64 { @_noLocks get { fillRingEmpty &+ receiveRingFull &+ oversize } }
    }

    /// The kernel's figures so far; all zero if it does not tell.
    @_noLocks
    public func statistics() -> Statistics {
        var counts = xdp_statistics()
        var result = Statistics()
        guard unsafe spillway_xdp_statistics(descriptor, &counts) == 0 else { return result }
        result.rxDropped = counts.rx_dropped
        result.rxInvalidDescriptors = counts.rx_invalid_descs
        result.txInvalidDescriptors = counts.tx_invalid_descs
        result.rxRingFull = counts.rx_ring_full
        result.rxFillRingEmpty = counts.rx_fill_ring_empty_descs
        result.txRingEmpty = counts.tx_ring_empty_descs
        return result
    }

    /// What was lost so far.
    @_noLocks
    public func losses() -> Losses { losses(statistics()) }

    /// What the kernel's figures mean.
    @_noLocks
    public func losses(_ counts: Statistics) -> Losses {
        var losses = Losses()
        losses.receiveRingFull = counts.rxRingFull
        losses.invalidDescriptors = counts.rxInvalidDescriptors
        // In copy mode a lost packet counts as dropped whether there was no frame or it was too large, and the former
        // counts as an empty fill ring too. With several buffers nothing is too large. A zero-copy driver loses packets
        // for want of frames before the program sees them.
        let forWantOfFrames = takesFragments ? counts.rxDropped : min(counts.rxFillRingEmpty, counts.rxDropped)
        losses.fillRingEmpty = isZeroCopy ? 0 : forWantOfFrames
        losses.oversize = counts.rxDropped &- losses.fillRingEmpty
        return losses
    }
}
