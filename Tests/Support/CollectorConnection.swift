import Glibc
import Synchronization

/// One connection of a reference collector, from its greeting to its end.
struct CollectorConnection {
    private let descriptor: CInt
    private let manners: CollectorManners
    private let number: Int
    private let challenge: [UInt8]
    /// Everything that came, for the parser of whole streams; or of it what was not looked at yet.
    private(set) var bytes: [UInt8] = []
    /// How many bytes came.
    private var received = 0
    /// How much of `bytes` has been looked at.
    private var offset = 0
    private var batchStart = 0
    private var sent = 0
    private var hasSession = false
    private var agreed = false
    private var isOver = false
    private var waiting: [CollectorState.Identity] = []
    private var acknowledgedHere: [CollectorState.Identity] = []
    private var haves: [ControlRanges] = []
    private var marks: [[UInt8]: [Range<UInt64>]] = [:]
    /// What came on this connection and was not acknowledged.
    private(set) var unacknowledged: [CollectorState.Identity] = []

    init(_ descriptor: CInt, _ manners: CollectorManners, _ number: Int) {
        (self.descriptor, self.manners, self.number) = (descriptor, manners, number)
        challenge = (0..<32).map { _ in UInt8.random(in: 0...255) }
    }

    private struct Cut: Error {}

    mutating func serve(stopped: () -> Bool, _ known: borrowing Mutex<CollectorState>) throws {
        do {
            try greet(stopped)
            while !isOver, !stopped() { try turn(known) }
        } catch is Cut {
            reset()
        }
    }

    private mutating func greet(_ stopped: () -> Bool) throws {
        guard let delay = manners.helloDelay else { return }
        var waited: Int32 = 0
        while waited < delay, !stopped() {
            usleep(5000)
            waited += 5
        }
        var section = ByteWriter(.little)
        for word in [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1] as [UInt32] { section.number(word) }
        section.number(UInt64.max)
        section.number(UInt32(28))
        let hello = ControlMessage.hello(
            least: manners.versions.lowerBound, greatest: manners.versions.upperBound,
            flags: manners.token == nil ? 0 : 1, challenge: challenge)
        try say(section.bytes + hello.bytes)
    }

    private mutating func turn(_ known: borrowing Mutex<CollectorState>) throws {
        if case .late(let milliseconds) = manners.acks, agreed, !waiting.isEmpty, !isReadable(descriptor, milliseconds)
        {
            try acknowledge(waiting, known)
            waiting = []
        }
        if case .shuffled = manners.acks, agreed, !waiting.isEmpty, !isReadable(descriptor, 50) {
            try acknowledge(waiting, known)
            waiting = []
        }
        guard isReadable(descriptor, 10) else { return }
        var room = 1 << 16
        if let cut = manners.cutsReading(number) {
            room = min(room, cut - received)
            guard room > 0 else { throw Cut() }
        }
        if let rate = manners.readsAtMost {
            room = min(room, max(rate / 100, 1))
            usleep(10_000)
        }
        var buffer = [UInt8](repeating: 0, count: room)
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress!, $0.count, 0) }
        guard count > 0 else {
            isOver = true
            return
        }
        bytes += buffer.prefix(count)
        received += count
        try digest(known)
        guard manners.keepsAtMost != nil else { return }
        bytes.removeFirst(batchStart)
        (offset, batchStart) = (offset - batchStart, 0)
    }

    private mutating func digest(_ known: borrowing Mutex<CollectorState>) throws {
        while bytes.count - offset >= 12 {
            let source = ByteReader(Array(bytes[offset..<offset + 12]))
            let length = Int(source.word(4))
            guard length >= 12, length % 4 == 0, length <= 266_240 else { throw StreamProblem("length \(length)") }
            guard bytes.count - offset >= length else { return }
            let block = Array(bytes[offset..<offset + length])
            offset += length
            switch source.word(0) {
            case 6: guard agreed else { throw StreamProblem("a record before the last HAVE") }
            case 0x8053_5054: try take(Array(bytes[batchStart..<offset]), known)
            default: if let message = try ControlMessage(block) { try hear(message, known) }
            }
            if source.word(0) != 6 { batchStart = offset }
        }
    }

    /// A whole batch; the parser of streams, which checks all of it, gets the stream from its beginning.
    private mutating func take(_ batch: [UInt8], _ known: borrowing Mutex<CollectorState>) throws {
        var parsed = try ParsedBatch(batch)
        if let most = manners.keepsAtMost { parsed.keep(atMost: most) }
        let identity = CollectorState.Identity(
            run: parsed.run, worker: parsed.worker, lane: parsed.lane, number: parsed.number)
        known.withLock { state in
            if let former = state.batches[identity] {
                state.duplicates += 1
                if former.bytes != parsed.bytes { state.violations.append("a batch came again with other bytes") }
            } else {
                state.batches[identity] = parsed
                state.order.append(identity)
            }
        }
        unacknowledged.append(identity)
        waiting.append(identity)
        switch manners.acks {
        case .prompt:
            try acknowledge(waiting, known)
            waiting = []
        case .repeated:
            try acknowledge(waiting, known)
            try acknowledge(waiting, known)
            acknowledgedHere += waiting
            try acknowledge(acknowledgedHere, known)
            waiting = []
        case .shuffled(let group) where waiting.count >= group:
            let backwards = Array(waiting.reversed())
            for identity in backwards.enumerated().filter({ $0.offset % 2 == 0 }).map(\.element)
                + backwards.enumerated().filter({ $0.offset % 2 == 1 }).map(\.element)
            {
                try acknowledge([identity], known)
            }
            waiting = []
        case .shuffled, .never, .late: break
        }
    }

    private mutating func acknowledge(
        _ identities: [CollectorState.Identity], _ known: borrowing Mutex<CollectorState>
    ) throws {
        // Known as acknowledged before it is said: part of it may arrive.
        known.withLock { $0.acknowledged.formUnion(identities) }
        let done = Set(identities)
        unacknowledged.removeAll { done.contains($0) }
        let lanes = Dictionary(grouping: identities) {
            CollectorState.Identity(run: $0.run, worker: $0.worker, lane: $0.lane, number: 0)
        }
        for (lane, members) in lanes {
            let ranges = CollectorConnection.ranges(members.map(\.number))
            try say(
                ControlMessage.ranges(
                    ControlRanges(.ack, run: lane.run, worker: lane.worker, lane: lane.lane, ranges)
                ).bytes)
        }
    }

    /// Numbers as ranges.
    static func ranges(_ numbers: some Sequence<UInt64>) -> [Range<UInt64>] {
        var ranges: [Range<UInt64>] = []
        for number in Set(numbers).sorted() {
            if ranges.last?.upperBound == number {
                ranges[ranges.count - 1] = ranges[ranges.count - 1].lowerBound..<number + 1
            } else {
                ranges.append(number..<number + 1)
            }
        }
        return ranges
    }

    // ---- control blocks ------------------------------------------------------------------------------------------

    private mutating func hear(_ message: ControlMessage, _ known: borrowing Mutex<CollectorState>) throws {
        known.withLock { $0.controls.append(message) }
        switch message {
        case .session(let version, let theirs, let digest, let proof, let sensor, let destination):
            guard !hasSession, version == 1 else { throw StreamProblem("a session out of place") }
            hasSession = true
            guard let token = manners.token else { return }
            func subject(_ role: String) -> [UInt8] {
                var message = ByteWriter(.little)
                message.raw(Array(role.utf8) + [0])
                message.number(version)
                message.raw(challenge + theirs)
                for name in [sensor, destination] {
                    message.number(UInt16(name.utf8.count))
                    message.raw(Array(name.utf8))
                }
                message.raw(digest)
                return message.bytes
            }
            guard proof == referenceHMAC(token, subject("relay")) else {
                try say(ControlMessage.end(code: 3, text: "wrong").bytes)
                isOver = true
                return
            }
            let mine = referenceHMAC(manners.proves ? token : Array(token.reversed()), subject("collector"))
            try say(ControlMessage.proof(mine).bytes)
        case .ranges(let owed) where owed.kind == .owed:
            guard hasSession, !agreed else { throw StreamProblem("an inventory out of place") }
            let answer = known.withLock { state in
                let here = state.batches.keys.filter {
                    $0.run == owed.run && $0.worker == owed.worker && $0.lane == owed.lane
                }
                return CollectorConnection.ranges(
                    here.map(\.number).filter { number in owed.ranges.contains { $0.contains(number) } })
            }
            if let last = owed.ranges.last, last.upperBound > owed.mark { throw StreamProblem("owed beyond the mark") }
            if manners.tellsWhatItHas {
                haves.append(
                    ControlRanges(.have, run: owed.run, worker: owed.worker, lane: owed.lane, answer))
                known.withLock { state in
                    for number in answer.joined() {
                        state.acknowledged.insert(
                            CollectorState.Identity(
                                run: owed.run, worker: owed.worker, lane: owed.lane, number: number))
                    }
                }
            } else {
                haves.append(ControlRanges(.have, run: owed.run, worker: owed.worker, lane: owed.lane))
            }
            guard owed.isLast else { return }
            haves[haves.count - 1].flags = 1
            agreed = true
            for have in haves { try say(ControlMessage.ranges(have).bytes) }
            if !manners.says.isEmpty { try say(manners.says) }
        case .ranges(let gone) where gone.kind == .gone:
            guard agreed else { throw StreamProblem("GONE before the last HAVE") }
        case .end(let code, _):
            if code == 0 {
                guard unacknowledged.isEmpty else { throw StreamProblem("END 0 while batches are unacknowledged") }
                known.withLock { $0.ends += 1 }
            }
        default: throw StreamProblem("\(message) is nothing a relay says")
        }
    }

    // ---- bytes ---------------------------------------------------------------------------------------------------

    private mutating func say(_ message: [UInt8]) throws {
        var message = message
        var isCut = false
        if let cut = manners.cutsWriting(number), sent + message.count >= cut {
            message = Array(message.prefix(max(cut - sent, 0)))
            isCut = true
        }
        var done = 0
        while done < message.count {
            let count = unsafe message.withUnsafeBytes {
                unsafe send(descriptor, $0.baseAddress! + done, $0.count - done, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else {
                isOver = true
                return
            }
            done += count
        }
        sent += done
        if isCut {
            // What was said is to arrive before the reset.
            usleep(500)
            throw Cut()
        }
    }

    private func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }
}
