internal import Glibc
internal import Machine
internal import Pcapng
internal import SegmentPool
internal import Transfer

/// Reading what a collector says. Nothing in it is trusted, and a little at a time: one that talks without end must not
/// keep the others waiting.
extension Egress {
    /// Takes what has come on a connection whose other side may acknowledge.
    mutating func hear(_ place: Int) {
        let destination = unsafe connections + place
        for _ in 0..<4 {
            guard unsafe !destination.pointee.isBroken, unsafe destination.pointee.descriptor >= 0 else { return }
            if case .plain = unsafe destination.pointee.greeting, unsafe !destination.pointee.mayGreetLate {
                return listen(place)
            }
            let count = unsafe destination.pointee.inbox.receive(destination.pointee.descriptor)
            guard count > 0 else { return heardNothing(place, count) }
            unsafe destination.pointee.lastHeard = Clock.monotonic()
            digest(place)
        }
        guard unsafe destination.pointee.descriptor >= 0 else { return }
        // There may be more, and an event comes only once; setting the watch anew brings it again.
        watch(unsafe destination.pointee.descriptor, EventSource.word(connection: place), writable: true, anew: true)
    }

    /// The other side has shut its direction down, or nothing is there.
    private mutating func heardNothing(_ place: Int, _ count: Int) {
        let destination = unsafe connections + place
        if count < 0 {
            if count != -Int(EAGAIN) { unsafe destination.pointee.isBroken = true }
            return
        }
        if case .closing = unsafe destination.pointee.state {
            unsafe destination.pointee.state = .finished
            return
        }
        switch unsafe destination.pointee.greeting {
        case .plain: break
        // Who says nothing any more cannot greet, but may read on.
        case .listening where unsafe destination.pointee.inbox.count == 0:
            goPlain(place, now: Clock.monotonic())
        default: unsafe destination.pointee.isBroken = true
        }
    }

    /// Takes whole blocks out of the inbox.
    private mutating func digest(_ place: Int) {
        let destination = unsafe connections + place
        while unsafe !destination.pointee.isBroken {
            guard mayBeGreeting(place) else { return }
            do throws(ControlError) {
                let (start, available) = unsafe (destination.pointee.inbox.start, destination.pointee.inbox.count)
                guard let frame = try unsafe BlockFrame.peek(start, available: available) else { return }
                guard unsafe frame.byteCount <= destination.pointee.inbox.capacity else { throw .tooLong }
                if !isProven(place) {
                    guard talks[place].unproven + frame.byteCount <= TransferLimit.bytesBeforeProof else {
                        throw .tooLong
                    }
                }
                guard available >= frame.byteCount else { return }
                talks[place].unproven += frame.byteCount
                try unsafe take(UnsafeRawBufferPointer(start: start, count: frame.byteCount), frame.type, place)
                // Whoever ended the connection has emptied the inbox.
                guard unsafe destination.pointee.inbox.count > 0 else { return }
                unsafe destination.pointee.inbox.consume(frame.byteCount)
            } catch {
                misunderstood(place, error)
                return
            }
        }
    }

    private func isProven(_ place: Int) -> Bool {
        switch unsafe connections[place].greeting {
        case .have, .agreed: true
        default: false
        }
    }

    /// Whether the first bytes can be the section header that a greeting begins with. Where a greeting is not promised,
    /// other bytes only show that this is a plain reader.
    private mutating func mayBeGreeting(_ place: Int) -> Bool {
        let destination = unsafe connections + place
        guard !talks[place].hasSection else { return true }
        switch unsafe destination.pointee.greeting {
        case .listening, .plain: break
        default: return true
        }
        let magic: [UInt8] = [0x0a, 0x0d, 0x0d, 0x0a]
        let (start, count) = unsafe (destination.pointee.inbox.start, min(destination.pointee.inbox.count, 4))
        let fits = unsafe UnsafeRawBufferPointer(start: start, count: count).elementsEqual(magic.prefix(count))
        if fits { return true }
        unsafe destination.pointee.inbox.clear()
        if case .listening = unsafe destination.pointee.greeting { goPlain(place, now: Clock.monotonic()) }
        unsafe destination.pointee.mayGreetLate = false
        return false
    }

    private mutating func misunderstood(_ place: Int, _ error: ControlError) {
        if case .plain = unsafe connections[place].greeting {
            // A reader that happens to talk.
            unsafe connections[place].mayGreetLate = false
            unsafe connections[place].inbox.clear()
            return
        }
        refuse(place, error.endCode, error.description)
    }

    /// One whole block.
    private mutating func take(
        _ block: UnsafeRawBufferPointer, _ type: UInt32, _ place: Int
    ) throws(ControlError) {
        guard talks[place].hasSection else {
            guard type == BlockType.sectionHeader, block.count >= 28,
                unsafe block.loadUnaligned(fromByteOffset: 8, as: UInt32.self) == 0x1A2B_3C4D
            else { throw .otherType }
            talks[place].hasSection = true
            return
        }
        guard ControlType.isControl(type) else { return }
        let now = Clock.monotonic()
        let destination = unsafe connections + place
        switch unsafe (destination.pointee.greeting, type) {
        case (.listening, ControlType.hello), (.hello, ControlType.hello):
            let hello = try unsafe Hello(block)
            talks[place].deadline = talks[place].began &+ setup.limits.proofTime
            answer(hello, place)
        case (.plain, ControlType.hello):
            _ = try unsafe Hello(block)
            greetLate(place, now: now)
        case (.proof, ControlType.proof):
            check(try unsafe Proof(block), place)
        case (.have, ControlType.have):
            try unsafe takeHave(RangeBlock(block.baseAddress!, byteCount: block.count), place, now: now)
        case (.agreed, ControlType.ack):
            let ack = try unsafe RangeBlock(block.baseAddress!, byteCount: block.count)
            guard let run = ack.count == 0 ? 0 : care.runs.firstIndex(of: ack.run),
                unsafe destination.pointee.settle(
                    acknowledged: ack, run: UInt16(run), &index, utc: now &+ utcOffset, now: now)
            else { throw .neverGivenOut }
        case (_, ControlType.end):
            ended(by: try unsafe End(block), place)
        default: throw .otherType
        }
    }

    private mutating func takeHave(_ have: RangeBlock, _ place: Int, now: UInt64) throws(ControlError) {
        talks[place].haveBlocks -= 1
        talks[place].haveRanges -= have.count
        guard talks[place].haveBlocks >= 0, talks[place].haveRanges >= 0 else { throw .tooLong }
        let destination = unsafe connections + place
        guard have.count == 0 || care.runs.contains(have.run) else { throw .neverGivenOut }
        if have.run == setup.run || have.count == 0 {
            guard unsafe destination.pointee.settle(had: have, &index, utc: now &+ utcOffset, now: now)
            else { throw .neverGivenOut }
        }
        takeHaveOnDisk(have, place)
        if have.isLast { agree(place, now: now) }
    }

    /// The other side ends the connection and says why.
    private mutating func ended(by end: End, _ place: Int) {
        let reason = end.reason.map { "\($0)" } ?? "code \(end.code)"
        setup.log(
            "\(name(place)): the other side ends the connection: \(reason)\(end.text.isEmpty ? "" : ", ")\(end.text)")
        switch end.reason {
        case .refused where talks[place].runs.count > 1: leaveEarlier(place)
        case .version, .proof, .refused, .limit, .malformed:
            if end.reason == .limit, talks[place].runs.count > 1 { offerLater(place, now: Clock.monotonic()) }
            unsafe connections[place].counters.add(.protocolErrors)
            unsafe connections[place].isRefused = true
        default: break
        }
        unsafe connections[place].isBroken = true
    }
}
