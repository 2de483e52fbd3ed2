internal import CMachine
internal import Machine

/// Where a capture thread puts packets: straight into the worker when both share a thread, otherwise into the fast ring.
@safe struct PacketSink: ~Copyable {
    // Safe because exactly one of the two pointers is set, and what it leads to is owned by this sink's thread.
    private let worker: UnsafeMutablePointer<Worker>?
    private let ring: UnsafeMutablePointer<ByteRingProducer>?

    /// Bytes before a packet in the ring.
    static var headerBytes: Int { @_noLocks get { 24 } }

    /// Run to completion: capture and worker are one thread.
    init(worker: UnsafeMutablePointer<Worker>) {
        unsafe self.worker = worker
        unsafe ring = nil
    }

    /// Pipelined: the worker is another thread.
    init(ring: UnsafeMutablePointer<ByteRingProducer>) {
        unsafe self.ring = ring
        unsafe worker = nil
    }

    /// A burst begins.
    @_noLocks mutating func beginBurst() {
        if let worker = unsafe worker { unsafe worker.pointee.beginBurst() }
    }

    /// Puts one packet; false if there is no room for it.
    @_noLocks @inline(__always) mutating func put(_ packet: Arrived, _ bytes: UnsafeRawPointer) -> Bool {
        if let worker = unsafe worker { return unsafe worker.pointee.take(packet, bytes) }
        let length = roundUp(Self.headerBytes + Int(packet.captured), 8)
        guard let target = unsafe ring!.pointee.reserve(length) else { return false }
        unsafe target.storeBytes(of: packet.time, as: UInt64.self)
        unsafe (target + 8).storeBytes(of: packet.interface, as: UInt32.self)
        unsafe (target + 12).storeBytes(of: packet.captured, as: UInt32.self)
        unsafe (target + 16).storeBytes(of: packet.original, as: UInt32.self)
        unsafe spillway_copy(target + 24, bytes, Int(packet.captured))
        unsafe ring!.pointee.commit(length)
        return true
    }

    /// A burst ends: what was put becomes visible.
    @_noLocks mutating func endBurst() {
        if let worker = unsafe worker { unsafe worker.pointee.endBurst() } else { unsafe ring!.pointee.publish() }
    }

    /// The input pauses.
    @_noLocks mutating func pause() {
        if let worker = unsafe worker { unsafe worker.pointee.pause() } else { endBurst() }
    }

    /// The input is over. In a pipeline the worker finds out by itself.
    @_noLocks mutating func finish() {
        if let worker = unsafe worker { unsafe worker.pointee.finish() } else { endBurst() }
    }
}
