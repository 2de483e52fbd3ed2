internal import CMachine
internal import Fragments
internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache
internal import Tokens
internal import Transfer

/// Why a connection is ended by this side: what the peer is told, what is counted, what the log says.
struct Refusal: Error {
    var code: EndCode
    var counter: CollectorCounter
    var text: String

    init(_ code: EndCode, _ counter: CollectorCounter, _ text: String) {
        (self.code, self.counter, self.text) = (code, counter, text)
    }

    init(_ error: ControlError) {
        let counter: CollectorCounter =
            switch error.endCode {
            case .limit: .refusedLimit
            case .refused: .refusedName
            default: .refusedMalformed
            }
        self.init(error.endCode, counter, "\(error)")
    }
}

/// One connection of a peer: where it is in the conversation, and what waits in both directions.
final class Connection {
    /// Where the conversation is.
    enum Stage {
        /// Waiting for a section header and SESSION.
        case greeting
        /// Waiting for the last OWED.
        case inventory
        /// HAVE waits for a sync.
        case answering
        /// Batches.
        case streaming
        /// END was sent; what waits to be sent is sent, then it is closed.
        case ending
    }

    let socket: Int32
    let peer: Endpoint
    /// Distinguishes it from a later connection with the same descriptor.
    let serial: UInt64
    var stage = Stage.greeting
    let challenge = randomBytes(32)
    var session: Session?
    var sensor: Sensor?
    var inventory = Inventory()
    /// What the present section of the stream says; nil before its header.
    var section: RunDescription?
    /// For each run how much of the section was taken over.
    var adopted: [RunIdentity: Int] = [:]

    /// The beginning of a batch or block whose rest has not come, and how much of it was walked over.
    var rest: [UInt8] = []
    var walked = 0
    var received: UInt64 = 0
    /// What waits to be sent, and how much of it has been.
    private var output: [UInt8] = []
    private var sent = 0
    /// Acknowledgements that wait to be said.
    var acknowledgements = BatchSet()
    /// Monotonic times.
    let began: UInt64
    var lastHeard: UInt64, lastSaid: UInt64, lastTaken: UInt64
    /// Which events epoll watches for.
    var watched: UInt32 = 0
    var isClosed = false
    /// Whether its sending side was shut down.
    var isShut = false

    init(socket: Int32, peer: Endpoint, serial: UInt64) {
        (self.socket, self.peer, self.serial) = (socket, peer, serial)
        began = Clock.monotonic()
        (lastHeard, lastSaid, lastTaken) = (began, began, began)
    }

    /// Who it is, for the log.
    var label: String { session.map { "\(peer) (\($0.sensor))" } ?? "\(peer)" }

    /// Whether the peer has shown who it is.
    var isProven: Bool {
        switch stage {
        case .greeting, .ending: sensor != nil
        case .inventory, .answering, .streaming: true
        }
    }

    /// Bytes that wait to be sent.
    var waiting: Int { output.count - sent }

    /// Puts bytes behind what waits to be sent.
    func say(_ bytes: [UInt8]) {
        lastSaid = Clock.monotonic()
        if waiting == 0 { lastTaken = lastSaid }
        output += bytes
    }

    /// Puts acknowledgements behind what waits, if nothing waits any more: until then they grow together into few ranges.
    ///
    /// - Parameter atOnce: whether it is the last opportunity.
    func sayAcknowledgements(atOnce: Bool = false) {
        guard waiting == 0 || atOnce, !acknowledgements.isEmpty else { return }
        for lane in acknowledgements.lanes.sorted() {
            say(
                NumberRanges(run: lane.run, worker: lane.worker, lane: lane.lane, acknowledgements.ranges(of: lane))
                    .blocks(ControlType.ack))
        }
        acknowledgements = BatchSet()
        CrashPoint.acknowledgementQueued.pass()
    }

    /// Sends what the socket takes. False if the connection is broken.
    func flush() -> Bool {
        while waiting > 0 {
            let start = sent
            let count = unsafe output.withUnsafeMutableBytes { buffer in
                var piece = unsafe iovec(
                    iov_base: buffer.baseAddress! + start, iov_len: buffer.count - start)
                return unsafe spillway_send_vector(socket, &piece, 1)
            }
            if count == -Int(EAGAIN) { return true }
            guard count > 0 else { return false }
            sent += count
        }
        output.removeAll(keepingCapacity: output.capacity <= 1 << 16)
        sent = 0
        return true
    }
}

/// What a relay's OWED blocks have said so far.
struct Inventory {
    /// The lanes with their marks, and the ranges below them that are owed.
    private(set) var lanes: [BatchLane: (mark: UInt64, owed: RangeList<UInt64>)] = [:]
    /// The runs in the order of their first list.
    private(set) var runs: [RunIdentity] = []
    private var rangeCount = 0

    /// Takes in one list.
    mutating func add(_ block: RangeBlock) throws(Refusal) {
        let run = block.run
        if runs.last != run {
            if let last = runs.last {
                let order = BatchLane(run: last, worker: 0, lane: 0) < BatchLane(run: run, worker: 0, lane: 0)
                guard order else {
                    throw Refusal(.malformed, .refusedMalformed, "runs of the inventory are not in order")
                }
            }
            runs.append(run)
        }
        let lane = BatchLane(run: run, worker: block.worker, lane: block.lane)
        var entry = lanes.removeValue(forKey: lane) ?? (block.mark, RangeList())
        guard entry.mark == block.mark else {
            throw Refusal(.malformed, .refusedMalformed, "a lane of the inventory has two marks")
        }
        rangeCount += block.count
        for place in 0..<block.count {
            let (first, end) = block.range(place)
            guard end <= block.mark, first >= entry.owed.end else {
                throw Refusal(.malformed, .refusedMalformed, "ranges of the inventory beyond the mark, or not in order")
            }
            _ = try? entry.owed.insert(first..<end)
        }
        lanes[lane] = entry
        guard runs.count <= TransferLimit.runs, lanes.count <= TransferLimit.lanes,
            rangeCount <= TransferLimit.ranges
        else { throw Refusal(.limit, .refusedLimit, "the inventory is too large") }
    }

    /// The numbers that never come: below the mark and not owed.
    var excluded: [BatchRange] {
        lanes.flatMap { lane, entry in
            entry.owed.gaps(in: 0..<entry.mark).map { BatchRange(lane, first: $0.lowerBound, count: UInt64($0.count)) }
        }
    }
}
