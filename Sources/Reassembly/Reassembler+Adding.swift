internal import Fragments
internal import Machine
internal import Pcapng

/// A fragment that was taken and is not stored.
@safe struct PendingFragment: BitwiseCopyable {
    // Safe because of what stands at `Reassembler`: the bytes are there for as long as they are looked at.
    var stamp: FrameStamp
    var headers: FragmentHeaders
    var extent: Extent
    var bytes: UnsafeRawPointer
    /// The datagram it completes.
    var datagram: UInt32 = DatagramTable.none

    @_noLocks
    init(_ stamp: FrameStamp, _ headers: FragmentHeaders, _ extent: Extent, _ bytes: UnsafeRawPointer) {
        (self.stamp, self.headers, self.extent) = (stamp, headers, extent)
        unsafe self.bytes = bytes
    }
}

extension Reassembler {
    /// Adds the pending fragment to a datagram of which others are there.
    @_noLocks
    mutating func add(to number: UInt32) -> FragmentVerdict {
        let datagram = unsafe table.datagram(number)
        if let reason = unsafe datagram.pointee.spoiledBy { return .pass(reason) }
        let extent = pending.extent
        let isLast = !pending.headers.moreFragments
        let length = unsafe isLast ? UInt32(extent.upper) : datagram.pointee.length
        let cover = unsafe table.cover(number)
        // The end is told twice and differently, or something lies behind it.
        let told = unsafe datagram.pointee.length
        let furthest = unsafe max(UInt32(extent.upper), UInt32(cover.pointee.end))
        if (isLast && told != Datagram.unknown && told != length) || furthest > length {
            return spoil(number, .unassembledEnds)
        }
        let covered = unsafe cover.pointee.overlappingSum(extent.lower, extent.upper)
        if covered > 0 {
            guard unsafe datagram.pointee.overlaps < Self.overlapLimit else {
                return spoil(number, .unassembledTooMany)
            }
            if isDuplicate(of: number) { return keepDuplicate(in: number) }
            if case .drop = policy { return spoil(number, .unassembledOverlap) }
        }
        if unsafe datagram.pointee.frames.count >= Self.fragmentLimit { return spoil(number, .unassembledTooMany) }
        let present = unsafe UInt32(cover.pointee.lengthSum) + UInt32(extent.count) - UInt32(covered)
        if length != Datagram.unknown, present == length { return complete(number, length: Int(length)) }
        if !secureMemory(excluding: number) {
            // With nobody else to make room the datagram is larger than the memory.
            return leavers.isEmpty ? spoil(number, .unassembledMemoryFull) : .makeRoom
        }
        return keep(in: number)
    }

    /// Stores the pending fragment. There is memory for it.
    @_noLocks
    mutating func keep(in number: UInt32) -> FragmentVerdict {
        let datagram = unsafe table.datagram(number)
        let extent = pending.extent
        let gained: UInt16
        do throws(FragmentError<UInt16>) {
            gained = unsafe try table.cover(number).pointee.insert(extent.lower, extent.upper)
        } catch {
            return spoil(number, .unassembledHoles)
        }
        if Int(gained) != extent.count { unsafe markOverlap(datagram) }
        if !pending.headers.moreFragments { unsafe datagram.pointee.length = UInt32(extent.upper) }
        let frame = unsafe store.store(description, pending.bytes)
        unsafe datagram.pointee.frames.append(frame, in: store)
        if extent.lower == 0, unsafe isHead(datagram.pointee.head) {
            var head = DatagramHead(pending.headers, extent)
            head.frame = frame
            unsafe datagram.pointee.head = head
        }
        countPending()
        return .held
    }

    @_noLocks
    private mutating func markOverlap(_ datagram: UnsafeMutablePointer<Datagram>) {
        unsafe datagram.pointee.isOverlapped = true
        unsafe datagram.pointee.overlaps &+= 1
    }

    private var description: StoredFrame {
        @_noLocks get {
            StoredFrame(
                stamp: pending.stamp, dataStart: UInt32(bitPattern: pending.headers.dataStart), extent: pending.extent,
                moreFragments: pending.headers.moreFragments)
        }
    }

    /// Whether the pending fragment, which begins the datagram, gives it its headers.
    @_noLocks
    func isHead(_ present: DatagramHead?) -> Bool {
        guard let present else { return true }
        return policy.prefersNewcomer(present.extent, pending.extent)
    }

    /// Whether a stored frame says exactly the same: place, length and every byte of the data.
    @_noLocks
    private func isDuplicate(of number: UInt32) -> Bool {
        var frame = unsafe table.datagram(number).pointee.frames.first
        let extent = pending.extent
        while frame != FrameStore.none {
            let stored = store[frame]
            if stored.extent.lower == extent.lower, stored.extent.upper == extent.upper,
                stored.moreFragments == pending.headers.moreFragments,
                unsafe store.matches(
                    frame, from: Int(stored.dataStart), count: extent.count,
                    pending.bytes + Int(pending.headers.dataStart))
            {
                return true
            }
            frame = stored.next
        }
        return false
    }

    /// Keeps a duplicate with the others: it is one frame more of the datagram.
    @_noLocks
    private mutating func keepDuplicate(in number: UInt32) -> FragmentVerdict {
        if !secureMemory(excluding: number) {
            return leavers.isEmpty ? spoil(number, .unassembledMemoryFull) : .makeRoom
        }
        var frame = description
        frame.isDuplicate = true
        let stored = unsafe store.store(frame, pending.bytes)
        let datagram = unsafe table.datagram(number)
        unsafe datagram.pointee.frames.append(stored, in: store)
        unsafe datagram.pointee.overlaps &+= 1
        counters.add(.duplicateFragments)
        countPending()
        return .held
    }

    /// The datagram is not put together, whatever comes (RFC 5722: fragments not yet received included). Its frames leave;
    /// it keeps its place until it is given up, so that later fragments are known.
    @_noLocks
    mutating func spoil(_ number: UInt32, _ reason: Counter) -> FragmentVerdict {
        let datagram = unsafe table.datagram(number)
        unsafe dismiss(datagram, reason)
        unsafe datagram.pointee.spoiledBy = reason
        return .pass(reason)
    }

    /// The pending fragment is part of a datagram for good.
    @_noLocks
    mutating func countPending() {
        counters.add(.fragments)
        if Self.isTiny(pending) { counters.add(.tinyFragments) }
    }
}
