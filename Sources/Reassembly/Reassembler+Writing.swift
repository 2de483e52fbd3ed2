internal import CMachine
internal import Fragments
internal import Machine
internal import Pcapng

/// Datagrams that are complete.
extension Reassembler {
    /// The pending fragment is the last that was missing; nothing changes yet.
    @_noLocks
    mutating func complete(_ number: UInt32, length: Int) -> FragmentVerdict {
        let datagram = unsafe table.datagram(number)
        let head = unsafe completedHead(datagram)
        if !head.fits(length) { return spoil(number, .unassembledTooLarge) }
        pending.datagram = number
        return .complete(
            CompletedDatagram(
                byteCount: head.mendedByteCount + length, fragments: unsafe datagram.pointee.frames.count &+ 1))
    }

    /// Where the headers come from: a stored frame, or the pending one.
    @_noLocks
    private func completedHead(_ datagram: UnsafeMutablePointer<Datagram>) -> DatagramHead {
        if pending.extent.lower == 0, unsafe isHead(datagram.pointee.head) {
            return DatagramHead(pending.headers, pending.extent)
        }
        return unsafe datagram.pointee.head!
    }

    /// Writes the completed datagram, link layer and mended headers first: `byteCount` bytes.
    @_noLocks
    public mutating func writeCompleted(to target: UnsafeMutableRawPointer) {
        let number = pending.datagram
        let datagram = unsafe table.datagram(number)
        let head = unsafe completedHead(datagram)
        let length = unsafe completedLength(datagram)
        // The captured headers may be longer than the mended ones, so the data comes after them.
        unsafe copy(head, from: 0, count: head.byteCount, to: target)
        unsafe head.mend(target, length: length)
        let data = unsafe target + head.mendedByteCount
        if isOverlapped(number) {
            unsafe writeOverlapped(datagram, length: length, to: data)
        } else {
            unsafe writePlain(datagram, to: data)
        }
    }

    /// Copies the beginning of the completed datagram: mended headers, and of the data what their frame has. For those who have
    /// to look at it before it is written.
    ///
    /// - Returns: bytes, at most `capacity`; 0 where the headers alone are longer.
    @_noLocks
    public func copyCompletedHead(to target: UnsafeMutableRawPointer, capacity: Int) -> Int {
        let datagram = unsafe table.datagram(pending.datagram)
        let head = unsafe completedHead(datagram)
        guard head.byteCount < capacity else { return 0 }
        unsafe copy(head, from: 0, count: head.byteCount, to: target)
        unsafe head.mend(target, length: completedLength(datagram))
        let start = head.frame == FrameStore.none ? Int(pending.headers.dataStart) : Int(store[head.frame].dataStart)
        let count = min(capacity - head.mendedByteCount, head.extent.count)
        unsafe copy(head, from: start, count: count, to: target + head.mendedByteCount)
        return head.mendedByteCount + count
    }

    @_noLocks
    private func completedLength(_ datagram: UnsafeMutablePointer<Datagram>) -> Int {
        unsafe pending.headers.moreFragments ? Int(datagram.pointee.length) : Int(pending.extent.upper)
    }

    /// Bytes of the frame that the headers come from.
    @_noLocks
    private func copy(_ head: DatagramHead, from start: Int, count: Int, to target: UnsafeMutableRawPointer) {
        if head.frame == FrameStore.none {
            unsafe spillway_copy(target, pending.bytes + start, count)
        } else {
            unsafe store.copy(head.frame, from: start, count: count, to: target)
        }
    }

    /// Whether fragments of the completed datagram overlap.
    @_noLocks
    private func isOverlapped(_ number: UInt32) -> Bool {
        unsafe table.datagram(number).pointee.isOverlapped
            || table.cover(number).pointee.overlaps(pending.extent.lower, pending.extent.upper)
    }

    /// Every fragment has its own place.
    @_noLocks
    private func writePlain(_ datagram: UnsafeMutablePointer<Datagram>, to data: UnsafeMutableRawPointer) {
        var frame = unsafe datagram.pointee.frames.first
        while frame != FrameStore.none {
            let stored = store[frame]
            if !stored.isDuplicate {
                unsafe store.copy(
                    frame, from: Int(stored.dataStart), count: stored.extent.count, to: data + Int(stored.extent.lower))
            }
            frame = stored.next
        }
        let extent = pending.extent
        unsafe spillway_copy(
            data + Int(extent.lower), pending.bytes + Int(pending.headers.dataStart), extent.count)
    }

    /// Some bytes were sent more than once: in the order in which the fragments came, each takes from the former owner what
    /// the policy gives it; then each writes what it owns.
    @_noLocks
    private func writeOverlapped(
        _ datagram: UnsafeMutablePointer<Datagram>, length: Int, to data: UnsafeMutableRawPointer
    ) {
        owners.clear(length)
        var frame = unsafe datagram.pointee.frames.first
        while frame != FrameStore.none {
            let stored = store[frame]
            if !stored.isDuplicate { claim(stored.extent, as: frame) }
            frame = stored.next
        }
        let present = Self.presentFrame
        claim(pending.extent, as: present)
        frame = unsafe datagram.pointee.frames.first
        while frame != FrameStore.none {
            let stored = store[frame]
            if !stored.isDuplicate { unsafe writeOwned(stored.extent, frame, Int(stored.dataStart), to: data) }
            frame = stored.next
        }
        unsafe writeOwned(pending.extent, present, Int(pending.headers.dataStart), to: data)
    }

    /// The owner that is not stored.
    private static var presentFrame: UInt32 { @_noLocks get { .max - 1 } }

    @_noLocks
    private func claim(_ extent: Extent, as frame: UInt32) {
        var offset = Int(extent.lower)
        while offset < Int(extent.upper) {
            let owner = owners[offset]
            if owner == OwnerMap.nobody || policy.prefersNewcomer(store[owner].extent, extent) {
                owners[offset] = frame
            }
            offset += 8
        }
    }

    /// Writes the pieces of a fragment that it owns, run by run.
    @_noLocks
    private func writeOwned(_ extent: Extent, _ frame: UInt32, _ start: Int, to data: UnsafeMutableRawPointer) {
        var offset = Int(extent.lower)
        while offset < Int(extent.upper) {
            let first = offset
            while offset < Int(extent.upper), owners[offset] == frame { offset += 8 }
            let end = min(offset, Int(extent.upper))
            if end > first {
                let from = start + first - Int(extent.lower)
                if frame == Self.presentFrame {
                    unsafe spillway_copy(data + first, pending.bytes + from, end - first)
                } else {
                    unsafe store.copy(frame, from: from, count: end - first, to: data + first)
                }
            } else {
                offset += 8
            }
        }
    }

    /// The completed datagram was written, or is lost: its frames are given back.
    ///
    /// - Parameter written: whether it is counted as put together.
    @_noLocks
    public mutating func releaseCompleted(written: Bool) {
        let number = pending.datagram
        let datagram = unsafe table.datagram(number)
        countPending()
        if written {
            counters.add(.reassembled)
            let first = unsafe datagram.pointee.firstTime
            let time = pending.stamp.time > first ? pending.stamp.time - first : 0
            counters.add(.reassemblyTime, time)
            if time > counters.value(.longestReassembly) { counters.set(.longestReassembly, time) }
            if isOverlapped(number) { counters.add(.overlappedDatagrams) }
        }
        var frame = unsafe datagram.pointee.frames.first
        while frame != FrameStore.none {
            let next = store[frame].next
            store.release(frame)
            frame = next
        }
        unsafe datagram.pointee.frames = FrameList()
        remove(number)
    }
}
