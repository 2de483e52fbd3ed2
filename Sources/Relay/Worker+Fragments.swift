internal import Machine
internal import Pcapng
internal import Reassembly
internal import SegmentPool

/// What a worker does with fragments.
extension Worker {
    /// Encodes a packet, or keeps it if it is a fragment, until its datagram is complete.
    @_noLocks @inline(__always)
    mutating func reassemble(_ packet: Arrived, _ bytes: UnsafeRawPointer) -> Outcome {
        if mayHold {
            unsafe reassembler.pointee.advance(stamp: packet.time, arrival: arrival)
            guard drainLeaving() else { return .refused }
            mayHold = unsafe !reassembler.pointee.isEmpty
        }
        if unsafe FragmentHeaders.isSurelyWhole(bytes, captured: packet.captured, linkType: filter.linkType) {
            return unsafe encode(packet, bytes)
        }
        return unsafe lookCloser(packet, bytes)
    }

    @_noLocks
    private mutating func lookCloser(_ packet: Arrived, _ bytes: UnsafeRawPointer) -> Outcome {
        guard
            let headers = unsafe FragmentHeaders(bytes, captured: Int(packet.captured), linkType: filter.linkType)
        else { return unsafe encode(packet, bytes) }
        if exchange.workers > 1, Reassembler.refusal(headers) == nil {
            let owner = unsafe reassembler.pointee.owner(headers, interface: packet.interface, of: exchange.workers)
            if owner != exchange.place { return unsafe handOn(packet, bytes, to: owner) }
        }
        return unsafe takeFragment(packet, headers, bytes)
    }

    /// Gives a fragment to the worker that owns its datagram; if that one is too busy it goes on as it came.
    @_noLocks
    private mutating func handOn(_ packet: Arrived, _ bytes: UnsafeRawPointer, to owner: Int) -> Outcome {
        if unsafe exchange.send(packet, bytes, to: owner) {
            counters.add(.handedOn)
            return .handedOn
        }
        return unsafe pass(packet, bytes, .unassembledBusy)
    }

    /// Takes a fragment of a datagram that this worker owns.
    @_noLocks
    private mutating func takeFragment(
        _ packet: Arrived, _ headers: FragmentHeaders, _ bytes: UnsafeRawPointer
    ) -> Outcome {
        let stamp = FrameStamp(
            time: packet.time, interface: packet.interface, captured: packet.captured, original: packet.original)
        mayHold = true
        while true {
            let verdict = unsafe reassembler.pointee.take(stamp, headers, bytes, arrival: arrival)
            switch verdict {
            case .held:
                // What others left behind is written now or, where the reader waits, before the next packet.
                _ = drainLeaving()
                open.anticipate(from: Int(headers.offset), count: Int(packet.captured))
                return .taken
            case .makeRoom:
                guard drainLeaving() else { return .refused }
            case .pass(let reason):
                guard drainLeaving() else { return .refused }
                return unsafe pass(packet, bytes, reason)
            case .complete(let datagram):
                return unsafe write(datagram, packet, bytes)
            }
        }
    }

    /// A fragment goes on as it came.
    @_noLocks
    private mutating func pass(_ packet: Arrived, _ bytes: UnsafeRawPointer, _ reason: Counter) -> Outcome {
        let outcome = unsafe encode(packet, bytes)
        if case .refused = outcome { return outcome }
        unsafe reassembler.pointee.countPassed(reason)
        return outcome
    }

    /// Writes a datagram that its last fragment completes, at once into the batch.
    @_noLocks
    private mutating func write(
        _ datagram: CompletedDatagram, _ packet: Arrived, _ bytes: UnsafeRawPointer
    ) -> Outcome {
        if open.choosesByBytes { unsafe chooseForCompleted(datagram, packet, bytes) } else { open.chooseFirst() }
        guard let target = unsafe open.reserve(captured: datagram.byteCount, fragments: datagram.fragments) else {
            if rules.waits { return .refused }
            // The others were taken long ago; with this one they are lost.
            counters.add(.droppedPoolFull, UInt64(datagram.fragments))
            unsafe reassembler.pointee.releaseCompleted(written: false)
            return .lost
        }
        unsafe reassembler.pointee.writeCompleted(to: target)
        let length = UInt32(datagram.byteCount)
        let captured = min(length, rules.snapLength)
        open.commit(
            time: packet.time, arrival: arrival, interface: packet.interface, captured: captured, original: length,
            fragments: datagram.fragments)
        unsafe reassembler.pointee.releaseCompleted(written: true)
        counters.add(.merged, UInt64(datagram.held))
        if captured < length { counters.add(.cutPackets) }
        return .taken
    }

    /// Encodes what leaves as it came. False if there is no room and the reader is to wait.
    @_noLocks
    private mutating func drainLeaving() -> Bool {
        while let stamp = unsafe reassembler.pointee.leaving {
            let captured = min(stamp.captured, rules.snapLength)
            chooseForLeaving(stamp)
            if let target = unsafe open.reserve(captured: Int(captured), fragments: 1) {
                unsafe reassembler.pointee.copyLeaving(to: target, count: Int(captured))
                open.commit(
                    time: stamp.time, arrival: arrival, interface: stamp.interface, captured: captured,
                    original: stamp.original, fragments: 1)
                if captured < stamp.captured { counters.add(.cutPackets) }
            } else if rules.waits {
                return false
            } else {
                counters.add(.droppedPoolFull)
            }
            unsafe reassembler.pointee.releaseLeaving()
        }
        return true
    }

    /// What is looked at is the datagram as it will be, not the fragment that completes it, which mostly has no ports.
    @_noLocks
    private mutating func chooseForCompleted(
        _ datagram: CompletedDatagram, _ packet: Arrived, _ bytes: UnsafeRawPointer
    ) {
        let count = unsafe reassembler.pointee.copyCompletedHead(
            to: open.head, capacity: Int(OpenBatches.headBytes))
        if count > 0 {
            unsafe open.choose(
                open.head, captured: UInt32(count), original: UInt32(datagram.byteCount), linkType: filter.linkType)
        } else {
            unsafe open.choose(
                bytes, captured: packet.captured, original: packet.original, linkType: filter.linkType)
        }
    }

    /// A frame that leaves lies in several pieces; its headers are looked at in a copy.
    @_noLocks
    private mutating func chooseForLeaving(_ stamp: FrameStamp) {
        guard open.choosesByBytes else { return }
        let count = min(stamp.captured, OpenBatches.headBytes)
        unsafe reassembler.pointee.copyLeaving(to: open.head, count: Int(count))
        unsafe open.choose(open.head, captured: count, original: stamp.original, linkType: filter.linkType)
    }

    // ---- beside the packets --------------------------------------------------------------------------------------------

    /// Takes the fragments that other workers hand on. Interfaces only: there nothing waits.
    @_noLocks
    mutating func takeIncoming() {
        guard exchange.workers > 1 else { return }
        var peer = 0
        while peer < exchange.workers {
            var count = 0
            while count < FragmentExchange.burst, let entry = unsafe exchange.receive(from: peer) {
                let packet = unsafe Arrived(entry: entry)
                let bytes = unsafe entry + Arrived.entryBytes
                // They were seen to be fragments when they were handed on.
                if let headers = unsafe FragmentHeaders(
                    bytes, captured: Int(packet.captured), linkType: filter.linkType)
                {
                    _ = unsafe takeFragment(packet, headers, bytes)
                }
                self.count(packet)
                exchange.consume(packet, from: peer)
                count += 1
            }
            if count > 0 { exchange.release(peer) }
            peer += 1
        }
        exchange.publish()
    }

    /// No packet comes: datagrams grow old all the same.
    @_noLocks
    mutating func ageFragments() {
        guard rules.reassembles else { return }
        unsafe reassembler.pointee.idle(until: arrival)
        _ = drainLeaving()
        unsafe reassembler.pointee.publishGauges()
    }

    /// The input is over: what is not complete when the others have handed on their last leaves as it came. False if that
    /// is not over.
    @_noLocks
    mutating func finishFragments() -> Bool {
        guard rules.reassembles else { return true }
        // Asked before the rings are looked at: what was handed on before the end was announced is then certainly seen.
        let isLast = exchange.endSending()
        takeIncoming()
        guard isLast, exchange.isEmpty else { return false }
        unsafe reassembler.pointee.giveUpAll()
        let isOver = drainLeaving()
        unsafe reassembler.pointee.publishGauges()
        return isOver
    }

    /// Frames of unfinished datagrams.
    var heldFrames: UInt64 {
        @_noLocks get { unsafe rules.reassembles ? reassembler.pointee.heldFrames : 0 }
    }

    /// Whether there are no unfinished datagrams.
    var holdsNothing: Bool {
        @_noLocks get { unsafe !rules.reassembles || reassembler.pointee.isEmpty }
    }
}
