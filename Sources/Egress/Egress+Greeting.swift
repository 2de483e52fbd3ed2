internal import CMachine
internal import Glibc
internal import Machine
internal import Pcapng
internal import SegmentPool
internal import SpillCache
internal import Transfer

/// The greetings at the start of a connection, as docs/format.md tells them. Control plane.
extension Egress {
    /// A connection came up: whether the other side is to speak first.
    mutating func beginGreeting(_ place: Int, now: UInt64) {
        let destination = unsafe connections + place
        talks[place] = Talk()
        talks[place].began = now
        offerAll(place)
        unsafe destination.pointee.lastHeard = now
        switch unsafe (destination.pointee.policy, destination.pointee.hasGreeted) {
        case (.none, _) where unsafe !destination.pointee.wasRefused:
            unsafe destination.pointee.greeting = .plain
            unsafe destination.pointee.mayGreetLate = true
        // Where a collector was, nothing is sent until it is clear that there is none any more.
        case (.none, _), (.auto, false):
            unsafe destination.pointee.greeting = .listening
            talks[place].deadline = now &+ setup.limits.greetingTime
        case (.auto, true), (.required, _):
            unsafe destination.pointee.greeting = .hello
            talks[place].deadline = now &+ setup.limits.proofTime
        }
    }

    /// A greeting that takes too long.
    mutating func tendGreeting(_ place: Int, now: UInt64) {
        let destination = unsafe connections + place
        if !talks[place].outgoing.isEmpty { flushTalk(place) }
        if let work = talks[place].inventoryBehind {
            // A disk that hangs is not waited for without end.
            guard now >= talks[place].deadline || cache?.keeper.hasDone(work) != false else { return }
            return sayInventory(place)
        }
        guard now >= talks[place].deadline else { return }
        if case .listening = unsafe destination.pointee.greeting {
            if unsafe destination.pointee.inbox.count == 0 { return goPlain(place, now: now) }
            // Something has begun that looks like a greeting.
            unsafe destination.pointee.greeting = .hello
            talks[place].deadline = talks[place].began &+ setup.limits.proofTime
            return
        }
        setup.log("\(name(place)): no greeting in time, and without one nothing is sent")
        retry(place, now: now, because: nil)
    }

    /// The other side does not greet: it is a plain reader.
    mutating func goPlain(_ place: Int, now: UInt64) {
        unsafe connections[place].greeting = .plain
        unsafe connections[place].mayGreetLate = true
        unsafe connections[place].wasRefused = false
        unsafe connections[place].lastProgress = now
    }

    func name(_ place: Int) -> String { setup.plans[unsafe connections[place].plan].name }

    /// A collector, where acknowledgements are not wanted: it keeps nothing of what is sent so.
    private mutating func turnAway(_ place: Int) {
        let option = unsafe connections[place].isClassic ? "wire=pcap" : "ack=none"
        refuse(place, .refused, "there is a collector, which takes nothing unacknowledged; leave out \(option)")
    }

    // ---- what is said --------------------------------------------------------------------------------------------

    /// HELLO has come: SESSION answers.
    mutating func answer(_ hello: Hello, _ place: Int) {
        guard unsafe connections[place].wantsAcks else { return turnAway(place) }
        let proofs = setup.session.proofs
        guard hello.commonVersion != nil else {
            return refuse(place, .version, "version \(TransferLimit.version) is spoken here")
        }
        guard hello.asksForProof == (proofs != nil) else {
            return refuse(
                place, .proof, proofs == nil ? "the relay has no token" : "the relay has a token and wants a proof")
        }
        let runs = offerRuns(place)
        talks[place].runs = runs
        var session = Session(
            challenge: setup.session.challenge(), runsDigest: setup.session.runsDigest(runs),
            sensor: setup.session.sensor,
            destination: Session.name(from: name(place)))
        let subject = ProofSubject(helloChallenge: hello.challenge, session: session)
        if let proofs { session.proof = proofs.make(subject) }
        talks[place].subject = subject
        unsafe connections[place].hasGreeted = true
        noteGreeting(place)
        say(place, setup.sectionHeader + session.encoded())
        if proofs == nil { prepareInventory(place) } else { unsafe connections[place].greeting = .proof }
    }

    /// PROOF has come: what is owed is told only to who is right.
    mutating func check(_ proof: Proof, _ place: Int) {
        guard let subject = talks[place].subject, let proofs = setup.session.proofs,
            proofs.check(proof.bytes, subject)
        else { return refuse(place, .proof, "the proof is wrong") }
        prepareInventory(place)
    }

    /// Says the inventory, as soon as what it leaves out is written down as owed to others. A HAVE before that is too early.
    private mutating func prepareInventory(_ place: Int) {
        guard let work = notesBeforeInventory() else { return sayInventory(place) }
        talks[place].inventoryBehind = work
        unsafe connections[place].greeting = .have
        talks[place].deadline = Clock.monotonic() &+ 1_000_000_000
    }

    private mutating func sayInventory(_ place: Int) {
        talks[place].inventoryBehind = nil
        let (bytes, lists) = inventory(place)
        // The limits of docs/format.md.
        talks[place].haveBlocks = lists + 32
        talks[place].haveRanges = TransferLimit.ranges
        say(place, bytes)
        unsafe connections[place].greeting = .have
        // A collector may have much to look through.
        talks[place].deadline = Clock.monotonic() &+ setup.limits.silenceTime
    }

    /// The last HAVE has come: batches may flow.
    mutating func agree(_ place: Int, now: UInt64) {
        unsafe connections[place].greeting = .agreed
        if unsafe !connections[place].wasRefused { unsafe connections[place].lastProgress = now }
        let plan = unsafe setup.plans[connections[place].plan]
        setup.log("\(plan.name): acknowledges")
    }

    /// Queues bytes before the batch stream begins.
    mutating func say(_ place: Int, _ bytes: [UInt8]) {
        talks[place].outgoing += bytes
        flushTalk(place)
    }

    /// Writes what the kernel takes.
    mutating func flushTalk(_ place: Int) {
        let outgoing = talks[place].outgoing
        let descriptor = unsafe connections[place].descriptor
        guard !outgoing.isEmpty, descriptor >= 0 else { return }
        let sent = unsafe outgoing.withUnsafeBytes {
            unsafe send(descriptor, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        }
        guard sent >= 0 else {
            unsafe connections[place].isWritable = false
            if errno != EAGAIN, errno != EINTR { unsafe connections[place].isBroken = true }
            return
        }
        unsafe connections[place].written += UInt64(sent)
        talks[place].outgoing.removeFirst(sent)
    }

    /// Ends a connection whose other side broke the protocol or cannot be agreed with.
    mutating func refuse(_ place: Int, _ code: EndCode, _ text: String) {
        setup.log("\(name(place)): \(text) (\(code))")
        unsafe connections[place].counters.add(.protocolErrors)
        // Not in the middle of a batch: there it would only be another breach.
        if unsafe connections[place].pieces.isEmpty { say(place, End(code, text).encoded()) }
        unsafe connections[place].isRefused = true
        unsafe connections[place].isBroken = true
    }

    /// A greeting on a plain connection: its batches were given to somebody who does not take them. Those that memory still
    /// has are unsent again.
    mutating func greetLate(_ place: Int, now: UInt64) {
        let destination = unsafe connections + place
        let slot = unsafe destination.pointee.slot
        let (packets, bytes) = unsafe (destination.pointee.plainPackets, destination.pointee.plainBytes)
        var again: UInt64 = 0
        while let entry = unsafe destination.pointee.plainDeliveries.popLast() {
            if index.restore(slot, entry.reference, age: entry.age) { again += UInt64(entry.packets) }
        }
        unsafe destination.pointee.hasGreeted = true
        unsafe destination.pointee.counters.subtract(.delivered, packets)
        unsafe destination.pointee.counters.subtract(.deliveredBytes, bytes)
        unsafe destination.pointee.counters.add(.droppedLateHello, packets - again)
        unsafe destination.pointee.counters.add(.resent, again)
        unsafe destination.pointee.unsentPackets += again
        setup.log(
            "\(name(place)): greets late; of \(packets) packets that went out before it \(again) are sent again, and"
                + " \(packets - again) are lost. ack=required waits for it")
        if unsafe !connections[place].wantsAcks { return turnAway(place) }
        if unsafe destination.pointee.pieces.isEmpty { say(place, End(.late, "HELLO came late").encoded()) }
        retry(place, now: now, because: nil)
    }
}
