internal import Machine

/// Where a capture thread puts packets: straight into the worker when both share a thread, otherwise into the fast ring.
@safe struct PacketSink: ~Copyable {
    // Safe because exactly one of the two pointers is set, and what it leads to is owned by this sink's thread.
    private let worker: UnsafeMutablePointer<Worker>?
    private let ring: UnsafeMutablePointer<ByteRingProducer>?

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
        let length = packet.entryByteCount
        guard let target = unsafe ring!.pointee.reserve(length) else { return false }
        unsafe packet.write(to: target, bytes)
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

    /// The input is over. In a pipeline the worker finds out by itself; otherwise this waits until there is room for what
    /// is left, or waiting is in vain.
    @_noLocks mutating func finish(_ stops: StopFlags) {
        guard let worker = unsafe worker else { return endBurst() }
        while unsafe !worker.pointee.finish() {
            if stops.idle.isSet || stops.abort.isSet { unsafe worker.pointee.stopWaiting() }
            Clock.sleep(nanoseconds: 50_000)
        }
    }

    /// How long a capture thread may sleep while nothing comes: briefly, if fragments may come from other workers.
    var longestSleep: Int32 {
        @_noLocks get {
            guard let worker = unsafe worker else { return 100 }
            return unsafe worker.pointee.exchange.workers > 1 ? 1 : 100
        }
    }
}
