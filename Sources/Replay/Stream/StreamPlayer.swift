internal import Glibc
internal import Machine
internal import Pcapng
internal import Sending
internal import SpillCache
internal import Tokens
internal import Transfer

/// Sends what a cache has to one destination, over as many connections as it takes. One thread uses it.
final class StreamPlayer {
    /// What it came to.
    struct Outcome: Sendable {
        var destination = StreamReplayReport.Destination()
        var damagedPlaces = 0
        var problems: [String] = []
    }

    /// A batch that was sent and is not settled.
    private struct InFlight {
        var lane: BatchLane
        var number: UInt64
        var packets: UInt32
        var byteCount: UInt64
        /// What had been written when its last byte was.
        var end: UInt64
    }

    /// Bytes that may be under way without an acknowledgement.
    static let window: UInt64 = 4 << 20

    var outcome = Outcome()
    private let destination: StreamDestination
    private let job: StreamReplay.Job
    private let tools: SendingTools
    let stop: StopFlag
    private let log: (String) -> Void
    /// What the destination has, whoever sent it.
    private var settled = BatchSet()
    /// What was counted as delivered, or as known before.
    private var counted = BatchSet()
    /// Packets of these batches, of the present stock.
    private var countedPackets: UInt64 = 0
    /// What was sent to it, on whichever connection.
    private var everSent = BatchSet()
    private var lastProgress: UInt64 = 0
    private var isGivenUp = false
    private var connections: UInt64 = 0
    /// Bytes of the present connection that the other side's TCP has.
    private(set) var lastTaken: UInt64 = 0

    // What belongs to one connection.
    private var inFlight: [InFlight] = []
    private var inFlightBytes: UInt64 = 0
    private var isAcknowledging = false
    private var marks: [BatchLane: UInt64] = [:]

    init(
        _ destination: StreamDestination, _ job: StreamReplay.Job, _ tools: SendingTools, _ stop: StopFlag,
        _ log: @escaping (String) -> Void
    ) {
        (self.destination, self.job, self.tools, self.stop, self.log) = (destination, job, tools, stop, log)
        (outcome.destination.name, outcome.destination.address) = (destination.name, destination.address)
    }

    /// Sends all of one stock; tries again until there is no progress for too long.
    func play(_ stock: CacheStock) {
        lastProgress = Clock.monotonic()
        countedPackets = 0
        var pause: UInt64 = 100_000_000
        while !stop.isSet, !isGivenUp {
            do throws(StreamSocket.Broken) {
                if connections > 0, outcome.destination.problem != nil { outcome.destination.reconnects += 1 }
                try connectAndSend(stock)
                outcome.destination.problem = nil
                break
            } catch {
                (inFlight, inFlightBytes) = ([], 0)
                if outcome.destination.problem != error.reason { log("\(destination.name): \(error.reason)") }
                outcome.destination.problem = error.reason
            }
            if hasLostPatience { isGivenUp = true }
            for _ in 0..<(pause / 50_000_000) where !stop.isSet && !isGivenUp { Clock.sleep(nanoseconds: 50_000_000) }
            pause = min(pause * 2, 2_000_000_000)
        }
        if stop.isSet, outcome.destination.problem == nil { outcome.destination.problem = "stopped" }
        // Of one that has everything nothing is left but what does not check.
        guard outcome.destination.problem != nil else { return }
        let counts = countedHere(stock)
        outcome.destination.unsentBatches += stock.batches - min(counts.batches, stock.batches)
        outcome.destination.unsentPackets += stock.packets - min(counts.packets, stock.packets)
    }

    /// Whether nothing has gone on for too long.
    var hasLostPatience: Bool { Clock.monotonic() &- lastProgress > job.patience }

    /// Notes that the other side has taken something, if it has; until when to wait for more.
    @discardableResult
    func noteProgress(_ socket: StreamSocket) -> UInt64 {
        let taken = socket.written - min(socket.unacknowledged, socket.written)
        if taken > lastTaken { (lastTaken, lastProgress) = (taken, Clock.monotonic()) }
        return lastProgress &+ job.patience
    }

    // ---- one connection ------------------------------------------------------------------------------------------

    /// The next of the destination's addresses.
    func connect() throws(StreamSocket.Broken) -> StreamSocket {
        if connections == 0 { lastProgress = Clock.monotonic() }
        let endpoint = destination.endpoints[Int(connections % UInt64(destination.endpoints.count))]
        connections += 1
        lastTaken = 0
        return try StreamSocket(endpoint, tools: tools, stop: stop)
    }

    private func connectAndSend(_ stock: CacheStock) throws(StreamSocket.Broken) {
        let socket = try connect()
        var section = StreamSection(sensor: job.sensor, application: job.application)
        isAcknowledging = try greet(socket, stock, section)
        outcome.destination.acknowledges = isAcknowledging
        var order = NewestFirst(stock)
        var sent = BatchSet()
        while let (batch, file) = order.next() {
            if settled.contains(batch.lane, batch.number) {
                countSettled(batch)
                continue
            }
            // It may be in two files.
            guard sent.insert(batch.lane, batch.number), let description = file.descriptions[batch.lane.run] else {
                continue
            }
            while inFlightBytes > 0, inFlightBytes + batch.byteCount > Self.window { try listen(socket, for: POLLIN) }
            let blocks = section.blocks(before: description)
            try socket.write(blocks) { () throws(StreamSocket.Broken) in try self.attend(socket) }
            try socket.send(file.descriptor, from: batch.offset, count: batch.byteCount) {
                () throws(StreamSocket.Broken) in try self.attend(socket)
            }
            outcome.destination.bytes += UInt64(blocks.count) + batch.byteCount
            inFlightBytes += batch.byteCount
            everSent.insert(batch.lane, batch.number)
            inFlight.append(
                InFlight(
                    lane: batch.lane, number: batch.number, packets: batch.packets, byteCount: batch.byteCount,
                    end: socket.written))
            _ = try attend(socket)
        }
        outcome.damagedPlaces += order.damagedPlaces
        outcome.problems += order.problems
        while !inFlight.isEmpty { try listen(socket, for: POLLIN) }
        try end(socket)
    }

    private func end(_ socket: StreamSocket) throws(StreamSocket.Broken) {
        if isAcknowledging {
            try socket.write(End(.done).encoded()) { () throws(StreamSocket.Broken) in try self.attend(socket) }
        }
        socket.shutDown()
        // A reader that closes early must not lose what it has not read: our side stays until it has closed, or a moment.
        let deadline = Clock.monotonic() &+ 2_000_000_000
        while !socket.isAtEnd, Clock.monotonic() < deadline, isAcknowledging || socket.unacknowledged > 0 {
            if try socket.wait(for: POLLIN, until: min(deadline, Clock.monotonic() &+ 20_000_000)) & POLLIN != 0 {
                guard (try? socket.receive()) ?? false else { return }
            }
        }
    }

    /// Waits a little for what the other side says, and takes it in.
    private func listen(_ socket: StreamSocket, for events: Int32) throws(StreamSocket.Broken) {
        let deadline = try attend(socket)
        if inFlight.isEmpty { return }
        // TCP's acknowledgements wake nobody, so a plain reader is looked at every few milliseconds.
        let now = Clock.monotonic()
        guard now < deadline else { throw StreamSocket.Broken(reason: "no progress in time") }
        let isOver = socket.isAtEnd
        if isOver { Clock.sleep(nanoseconds: 2_000_000) }
        let until = min(deadline, now &+ (isAcknowledging ? 100_000_000 : 2_000_000))
        if !isOver, try socket.wait(for: events, until: until) & POLLIN != 0 { _ = try socket.receive() }
        if isAcknowledging, socket.isAtEnd, socket.inbox.isEmpty, !inFlight.isEmpty {
            throw StreamSocket.Broken(reason: "the other side has closed the connection")
        }
    }

    /// Looks at what has come and settles what it says; until when to wait for more.
    private func attend(_ socket: StreamSocket) throws(StreamSocket.Broken) -> UInt64 {
        if isAcknowledging {
            _ = try socket.receive()
            try hear(socket)
        } else {
            socket.inbox = []
            let acknowledged = socket.written - min(socket.unacknowledged, socket.written)
            settle { $0.end <= acknowledged }
        }
        return lastProgress &+ job.patience
    }

    private func settle(_ isSettled: (InFlight) -> Bool) {
        inFlight.removeAll { one in
            guard isSettled(one) else { return false }
            inFlightBytes -= one.byteCount
            settled.insert(one.lane, one.number)
            if counted.insert(one.lane, one.number) {
                outcome.destination.batches += 1
                outcome.destination.packets += UInt64(one.packets)
                countedPackets += UInt64(one.packets)
            }
            lastProgress = Clock.monotonic()
            return true
        }
    }

    /// A batch that the destination says it has: from a connection that broke before it said so, or from before.
    private func countSettled(_ batch: StockFile.Batch) {
        guard counted.insert(batch.lane, batch.number) else { return }
        countedPackets += UInt64(batch.packets)
        if everSent.contains(batch.lane, batch.number) {
            outcome.destination.batches += 1
            outcome.destination.packets += UInt64(batch.packets)
        } else {
            outcome.destination.knownBatches += 1
            outcome.destination.knownPackets += UInt64(batch.packets)
        }
    }

    /// What of a stock has been counted as delivered or known.
    private func countedHere(_ stock: CacheStock) -> (batches: UInt64, packets: UInt64) {
        let batches = stock.identities.lanes.reduce(UInt64(0)) { sum, lane in
            counted.ranges(of: lane).reduce(sum) { $0 + ($1.upperBound - $1.lowerBound) }
        }
        return (batches, countedPackets)
    }

    // ---- what is said and heard ----------------------------------------------------------------------------------

    /// Lets the other side greet where it may; whether it acknowledges.
    private func greet(
        _ socket: StreamSocket, _ stock: CacheStock, _ section: StreamSection
    ) throws(StreamSocket.Broken) -> Bool {
        if destination.ack == .none { return false }
        let isRequired = destination.ack == .required || destination.token != nil || outcome.destination.acknowledges
        let time = isRequired ? TransferLimit.timeBeforeProof : TransferLimit.greetingTime
        var talk = StreamGreeting(socket, destination, job)
        guard let hello = try talk.hello(until: Clock.monotonic() &+ time) else {
            if isRequired { throw StreamSocket.Broken(reason: "no greeting in time, and without one nothing is sent") }
            return false
        }
        marks = Dictionary(uniqueKeysWithValues: stock.inventory().map { ($0.lane, $0.mark) })
        for range in try talk.agree(hello, stock, section) { settled.insert(range) }
        lastProgress = Clock.monotonic()
        return true
    }

    /// Takes in acknowledgements.
    private func hear(_ socket: StreamSocket) throws(StreamSocket.Broken) {
        while let block = try StreamGreeting.nextBlock(socket) {
            let (list, end) = try StreamGreeting.understood(block)
            if let end { throw StreamSocket.Broken(reason: refusal(end)) }
            guard let list, list.type == ControlType.ack else { continue }
            let mark = marks[list.lane] ?? 0
            guard list.ranges.allSatisfy({ $0.upperBound <= mark }) else {
                throw StreamSocket.Broken(reason: "an acknowledgement of what was never sent")
            }
            settle { one in one.lane == list.lane && list.ranges.contains { $0.contains(one.number) } }
        }
    }

    /// Why the other side ends; what will not change by trying again is given up.
    private func refusal(_ end: End) -> String {
        switch end.reason {
        case .version, .proof, .refused, .limit, .malformed: isGivenUp = true
        default: break
        }
        return "the other side ends the connection: \(end.text.isEmpty ? "code \(end.code)" : end.text)"
    }
}
