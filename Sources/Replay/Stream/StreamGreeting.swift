internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache
internal import Tokens
internal import Transfer

/// The greetings at the start of a connection, as docs/format.md tells them, from the relay's side.
struct StreamGreeting {
    private let socket: StreamSocket
    private let destination: StreamDestination
    private let job: StreamReplay.Job
    private var deadline: UInt64 = 0

    /// A list of ranges, taken out of its block.
    struct List {
        var type: UInt32
        var lane: BatchLane
        var ranges: [Range<UInt64>]
        var isLast: Bool
    }

    init(_ socket: StreamSocket, _ destination: StreamDestination, _ job: StreamReplay.Job) {
        (self.socket, self.destination, self.job) = (socket, destination, job)
    }

    /// Waits for HELLO; nil if what comes first is none, or nothing comes.
    mutating func hello(until deadline: UInt64) throws(StreamSocket.Broken) -> Hello? {
        self.deadline = deadline
        while socket.inbox.count < 4 {
            guard try more() else { return nil }
        }
        guard socket.inbox[..<4] == [0x0a, 0x0d, 0x0d, 0x0a] else { return nil }
        // Something has begun that looks like a greeting.
        self.deadline = max(deadline, Clock.monotonic() &+ TransferLimit.timeBeforeProof)
        let block = try awaited(ControlType.hello)
        return try unsafe Self.reading(block) { buffer throws(ControlError) in try unsafe Hello(buffer) }
    }

    /// Answers, proves, tells the inventory; what the collector has of it already.
    mutating func agree(
        _ hello: Hello, _ stock: CacheStock, _ section: StreamSection
    ) throws(StreamSocket.Broken) -> [BatchRange] {
        guard hello.commonVersion != nil else {
            throw try refuse(.version, "version \(TransferLimit.version) is spoken here")
        }
        guard hello.asksForProof == (destination.token != nil) else {
            throw try refuse(
                .proof,
                destination.token == nil ? "the replay has no token" : "the replay has a token and wants a proof")
        }
        let inventory = stock.inventory()
        var runs: [RunIdentity] = []
        for entry in inventory where runs.last != entry.lane.run { runs.append(entry.lane.run) }
        guard runs.count <= TransferLimit.runs, inventory.count <= TransferLimit.lanes else {
            throw try refuse(.limit, "\(runs.count) runs and \(inventory.count) lanes are too many for one session")
        }
        var session = Session(
            challenge: randomBytes(32), runsDigest: runsDigest(runs), sensor: job.sensor,
            destination: Session.name(from: destination.name))
        let subject = ProofSubject(helloChallenge: hello.challenge, session: session)
        if let token = destination.token { session.proof = token.proof(of: .relay, subject) }
        try say(section.greeting + session.encoded())
        if let token = destination.token {
            let proof = try unsafe Self.reading(awaited(ControlType.proof)) { buffer throws(ControlError) in
                try unsafe Proof(buffer)
            }
            guard token.isProof(proof.bytes, of: .collector, subject) else {
                throw try refuse(.proof, "the proof is wrong")
            }
        }
        try say(Self.bytes(inventory))
        deadline = Clock.monotonic() &+ TransferLimit.silenceTime
        var had: [BatchRange] = []
        while true {
            guard let list = try Self.understood(awaited(ControlType.have)).list else { continue }
            had += list.ranges.map { BatchRange(list.lane, first: $0.lowerBound, count: $0.upperBound - $0.lowerBound) }
            if list.isLast { return had }
        }
    }

    /// Everything below the marks may come: nothing is excluded, because the owner of the cache may have more.
    private static func bytes(_ inventory: [(lane: BatchLane, mark: UInt64)]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (place, entry) in inventory.enumerated() {
            let ranges = NumberRanges(
                run: entry.lane.run, worker: entry.lane.worker, lane: entry.lane.lane, mark: entry.mark,
                [0..<entry.mark])
            bytes += ranges.blocks(ControlType.owed, isLast: place == inventory.count - 1)
        }
        return bytes
    }

    // ---- blocks --------------------------------------------------------------------------------------------------

    private func say(_ bytes: [UInt8]) throws(StreamSocket.Broken) {
        try socket.write(bytes) { () throws(StreamSocket.Broken) in self.deadline }
    }

    private func refuse(_ code: EndCode, _ text: String) throws(StreamSocket.Broken) -> StreamSocket.Broken {
        try say(End(code, text).encoded())
        return StreamSocket.Broken(reason: text)
    }

    /// Waits for more bytes; false when there are none in time.
    private func more() throws(StreamSocket.Broken) -> Bool {
        if socket.isAtEnd { return false }
        guard try socket.wait(for: POLLIN, until: deadline) & POLLIN != 0 else { return false }
        _ = try socket.receive()
        return true
    }

    /// The next block of a type; others that may come there are passed over.
    private func awaited(_ type: UInt32) throws(StreamSocket.Broken) -> [UInt8] {
        while true {
            while let block = try Self.nextBlock(socket) {
                let found = Self.type(of: block)
                if found == type { return block }
                if let end = try Self.understood(block).end {
                    throw StreamSocket.Broken(reason: "the other side ends the connection: \(end.text)")
                }
            }
            guard try more() else { throw StreamSocket.Broken(reason: "the greeting does not go on") }
        }
    }

    private static func type(of block: [UInt8]) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(block[$1]) << UInt32(8 * $1) }
    }

    /// Takes the next whole block out of what has come.
    static func nextBlock(_ socket: StreamSocket) throws(StreamSocket.Broken) -> [UInt8]? {
        let peeked = unsafe socket.inbox.withUnsafeBytes { buffer -> Result<BlockFrame?, ControlError> in
            guard let base = buffer.baseAddress else { return .success(nil) }
            return Result { () throws(ControlError) in try unsafe BlockFrame.peek(base, available: buffer.count) }
        }
        do throws(ControlError) {
            guard let frame = try peeked.get(), socket.inbox.count >= frame.byteCount else { return nil }
            let block = Array(socket.inbox[..<frame.byteCount])
            socket.inbox.removeFirst(frame.byteCount)
            return block
        } catch {
            throw StreamSocket.Broken(reason: "what comes back makes no sense: \(error)")
        }
    }

    /// What a block says, if it is a list of ranges or an end.
    static func understood(_ block: [UInt8]) throws(StreamSocket.Broken) -> (list: List?, end: End?) {
        switch type(of: block) {
        case ControlType.end:
            return unsafe (nil, try reading(block) { buffer throws(ControlError) in try unsafe End(buffer) })
        case ControlType.have, ControlType.ack:
            let list = try unsafe reading(block) { buffer throws(ControlError) in
                let view = try unsafe RangeBlock(buffer.baseAddress!, byteCount: buffer.count)
                return List(
                    type: view.type, lane: BatchLane(run: view.run, worker: view.worker, lane: view.lane),
                    ranges: (0..<view.count).map { view.range($0).first..<view.range($0).end }, isLast: view.isLast)
            }
            return (list, nil)
        default: return (nil, nil)
        }
    }

    private static func reading<Value>(
        _ block: [UInt8], _ body: (UnsafeRawBufferPointer) throws(ControlError) -> Value
    ) throws(StreamSocket.Broken) -> Value {
        let result = unsafe block.withUnsafeBytes { buffer in
            Result { () throws(ControlError) in try unsafe body(buffer) }
        }
        do throws(ControlError) { return try result.get() } catch {
            throw StreamSocket.Broken(reason: "what comes back makes no sense: \(error)")
        }
    }
}
