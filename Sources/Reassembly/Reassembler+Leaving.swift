public import Machine

/// Frames that leave as they were captured.
extension Reassembler {
    /// The next frame to leave, nil if there is none. It stays the next one until `releaseLeaving`.
    public var leaving: FrameStamp? {
        @_noLocks get { leavers.isEmpty ? nil : store[leavers.first].stamp }
    }

    /// Copies the first bytes of the next frame to leave.
    @_noLocks
    public func copyLeaving(to target: UnsafeMutableRawPointer, count: Int) {
        unsafe store.copy(leavers.first, from: 0, count: count, to: target)
    }

    /// The next frame has left.
    @_noLocks
    public mutating func releaseLeaving() {
        let frame = leavers.first
        leavers.first = store[frame].next
        leavers.count &-= 1
        if leavers.first == FrameStore.none { leavers = FrameList() }
        store.release(frame)
    }

    /// Frames that are here: of unfinished datagrams, and on their way out.
    public var heldFrames: UInt64 { @_noLocks get { UInt64(store.frames) } }

    /// A fragment went on as it came, for the reason that the verdict gave.
    @_noLocks public func countPassed(_ reason: Counter) {
        counters.add(reason)
        if case .atomicFragments = reason { return }
        counters.add(.fragments)
    }

    /// Sets the gauges.
    @_noLocks public func publishGauges() {
        counters.set(.fragmentDatagrams, UInt64(table.count))
        counters.set(.fragmentBytes, UInt64(store.bytesInUse))
    }
}
