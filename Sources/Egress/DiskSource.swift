internal import Machine
internal import SegmentPool
internal import Sending
internal import SpillCache

/// What a destination needs to be sent batches from disk: its claim, the batch in hand, and the part of the file that is
/// in memory. It lies in fixed memory beside its destination.
struct DiskSource {
    let catalogue: Catalogue
    let claimant: Int
    let tools: SendingTools
    private let checks: CheckQueue
    /// The last batch for which a check was asked.
    private var asked = DiskPlace.none
    /// Nothing is replayed in this run, but for what its end has put on disk.
    private var isOff: Bool { @_noLocks get { isReplayOff && newestFirst } }
    private let isReplayOff: Bool
    private let isEager: Bool
    var newestFirst: Bool
    /// At the end of a run: what arrived before this stays for the next one. 0 until then.
    var floor: UInt64 = 0
    /// Bytes per second at most, 0 for no limit, and when the next batch may be sent (monotonic).
    private let rate: UInt64
    private var nextAt: UInt64 = 0
    /// A file that could not be read.
    var failedFile: UInt32 = .max
    /// Tells the loop whose result a helper's is.
    private let ticketBase: UInt64
    private var tickets: UInt64 = 0
    /// The batch in hand, and how far it is sent.
    private(set) var place = DiskPlace.none
    private(set) var batch = DiskBatch(
        offset: 0, arrival: 0, number: 0, bytes: 0, packets: 0, worker: 0, lane: 0)
    var transfer = FileTransfer(descriptor: -1, start: 0, end: 0, ticket: 0)
    /// Its file is going: it is sent to its end, and cannot be sent again.
    var isLetGo = false
    /// The part of the file that is being sent, the one before it, and the one that was sent last.
    private var current: FileWindow?
    private var ahead: FileWindow?
    private var behind: FileWindow?

    /// How much of a file is brought into memory at a time, and checked while the part before it is being sent: with half of it
    /// the sending has to wait for the check now and then.
    private static var windowBytes: UInt64 { @_noLocks get { 4 << 20 } }

    init(
        _ catalogue: Catalogue, claimant: Int, tools: SendingTools, checks: CheckQueue, connection: Int,
        newestFirst: Bool,
        _ policy: ReplayPolicy, rate: UInt64
    ) {
        self.rate = rate
        if case .off = policy { isReplayOff = true } else { isReplayOff = false }
        if case .eager = policy { isEager = true } else { isEager = false }
        self.newestFirst = newestFirst
        (self.catalogue, self.claimant, self.tools, self.checks) = (catalogue, claimant, tools, checks)
        ticketBase = UInt64(connection) << 32
    }

    /// A destination that was added takes it over: nothing is in hand, and results that helpers still owe are not waited for.
    mutating func restart(newestFirst: Bool) {
        self.newestFirst = newestFirst
        (floor, nextAt, failedFile, place, isLetGo) = (0, 0, .max, .none, false)
        transfer = FileTransfer(descriptor: -1, start: 0, end: 0, ticket: 0)
        (current, ahead, behind) = (nil, nil, nil)
    }

    /// A batch is in hand: begun, and not completely sent.
    var isSending: Bool { @_noLocks get { place.isSomewhere } }

    /// Nothing on disk is left to be sent in this run.
    var isDrained: Bool {
        @_noLocks get {
            if isSending { return false }
            if catalogue.unsentBatches(claimant) == 0 { return true }
            // From old to new all of it has its turn, as far as the time goes.
            if !newestFirst { return false }
            if floor == 0 { return isOff }
            return !catalogue.hasUnsent(claimant, since: floor)
        }
    }

    /// The next batch to be sent from disk; nil if there is none, or none yet.
    @_noLocks func next() -> DiskPlace? {
        if isOff, floor == 0 { return nil }
        guard let next = catalogue.next(claimant, newestFirst: newestFirst) else { return nil }
        return !newestFirst || catalogue.batch(next).arrival >= floor ? next : nil
    }

    /// Whether something on disk goes before a batch in memory that arrived then. While packets are diverted, they go last.
    @_noLocks func goesBefore(_ arrival: UInt64, isDiverted: Bool, divertsLast: Bool) -> Bool {
        // What is on its way to disk is older than what is left in memory.
        if !newestFirst { return catalogue.unsentBatches(claimant) > 0 || catalogue.isGrowing }
        guard isEager, let next = next() else { return false }
        let batch = catalogue.batch(next)
        if divertsLast, isDiverted != (batch.lane >= ShareBoard.divertedLane) { return isDiverted }
        return batch.arrival > arrival
    }

    /// The file that could not be read, told once.
    mutating func takeFailure() -> UInt32? {
        defer { failedFile = .max }
        return failedFile == .max ? nil : failedFile
    }

    /// Chooses a batch; false if its part of the file is still on its way into memory.
    @_noLocks mutating func begin(_ next: DiskPlace, now: UInt64) -> Bool {
        let batch = catalogue.batch(next)
        let descriptor = catalogue[file: next.file].descriptor
        guard descriptor >= 0, now >= nextAt, bringIn(next, batch, descriptor, now: now), isGood(next) else {
            return false
        }
        if rate > 0 {
            // What was not used does not add up to more than a moment's worth.
            let earliest = now > 10_000_000 ? now &- 10_000_000 : 0
            nextAt = max(nextAt, earliest) &+ UInt64(batch.bytes) &* 1_000_000_000 / rate
        }
        catalogue.take(claimant, next)
        (place, self.batch) = (next, batch)
        transfer = FileTransfer(
            descriptor: descriptor, start: batch.offset, end: batch.end, ticket: nextTicket(),
            residentSince: current?.readySince ?? now)
        return true
    }

    /// The batch in hand is sent, or given back.
    @_noLocks mutating func end() {
        transfer.finish(tools: tools)
        (place, isLetGo) = (.none, false)
    }

    /// Whether helpers still read this descriptor for it, or a batch of it is in hand.
    func uses(_ descriptor: Int32) -> Bool {
        if isSending && transfer.descriptor == descriptor || transfer.isBusy && transfer.descriptor == descriptor {
            return true
        }
        return [current, ahead, behind].contains { $0?.descriptor == descriptor && $0?.isBusy == true }
    }

    /// Forgets what is in memory of this descriptor, which is going to be closed; nobody must be using it.
    mutating func forget(_ descriptor: Int32) {
        if current?.descriptor == descriptor { current = nil }
        if ahead?.descriptor == descriptor { ahead = nil }
        if behind?.descriptor == descriptor { behind = nil }
    }

    // ---- memory --------------------------------------------------------------------------------------------------

    /// Sees to it that the batch is in memory, and that what is likely to come next will be; false while it is not.
    @_noLocks private mutating func bringIn(
        _ place: DiskPlace, _ batch: DiskBatch, _ descriptor: Int32, now: UInt64
    ) -> Bool {
        if !Self.covers(current, batch, descriptor) {
            // The one before is still being brought in or let go of: results are told apart by its ticket.
            if behind?.isBusy == true { return false }
            current?.release(tools: tools)
            behind = current
            if Self.covers(ahead, batch, descriptor) {
                current = ahead
                ahead = nil
            } else {
                current = window(from: newestFirst ? batch.end : batch.offset, descriptor, place.file)
            }
        }
        let isReady = current?.prepare(now: now, tools: tools) ?? false
        if isReady, ahead == nil, let current {
            // A batch may lie across the border, so that the parts overlap by as much as most batches are long.
            let border = newestFirst ? current.start &+ 128 << 10 : current.end &- min(current.end, 128 << 10)
            if newestFirst ? current.start > 0 : current.end < catalogue[file: place.file].end {
                ahead = window(from: border, descriptor, place.file)
                _ = ahead?.prepare(now: now, tools: tools)
            }
        }
        return isReady
    }

    /// Whether every byte of a batch in memory has been checked. What is likely to come next is checked meanwhile.
    @_noLocks private mutating func isGood(_ place: DiskPlace) -> Bool {
        if case .unknown = catalogue.trust(place), let current { ask(from: place, within: current) }
        if let ahead, ahead.isReady, asked.file == place.file {
            let next = DiskPlace(file: asked.file, ordinal: newestFirst ? asked.ordinal &- 1 : asked.ordinal &+ 1)
            if next.ordinal < catalogue[file: next.file].batches, case .unknown = catalogue.trust(next),
                Self.covers(ahead, catalogue.batch(next), ahead.descriptor)
            {
                ask(from: next, within: ahead)
            }
        }
        if case .good = catalogue.trust(place) { return true }
        return false
    }

    @_noLocks private mutating func ask(from place: DiskPlace, within window: FileWindow) {
        let last = catalogue.askForCheck(
            from: place, downwards: newestFirst, start: window.start, end: window.end, through: checks)
        if let last { asked = last }
    }

    @_noLocks private static func covers(_ window: FileWindow?, _ batch: DiskBatch, _ descriptor: Int32) -> Bool {
        guard let window else { return false }
        return window.descriptor == descriptor && window.start <= batch.offset && batch.end <= window.end
    }

    /// A window that ends at a place, or begins there where the oldest goes first.
    @_noLocks private mutating func window(from place: UInt64, _ descriptor: Int32, _ file: UInt32) -> FileWindow {
        let start = newestFirst ? place &- min(place, Self.windowBytes) : place
        let end = newestFirst ? place : min(place &+ Self.windowBytes, catalogue[file: file].end)
        return FileWindow(descriptor: descriptor, start: start, end: end, ticket: nextTicket())
    }

    @_noLocks private mutating func nextTicket() -> UInt64 {
        tickets = (tickets &+ 1) & 0xFFFF_FFFF
        return ticketBase | tickets
    }

    /// Takes a helper's result.
    @_noLocks mutating func take(_ result: HelperClient.Result, now: UInt64) {
        let ticket = result.ticket
        if current?.ticket == ticket {
            current?.take(result, now: now)
        } else if ahead?.ticket == ticket {
            ahead?.take(result, now: now)
        } else if behind?.ticket == ticket {
            behind?.take(result, now: now)
        } else if transfer.ticket == ticket {
            transfer.take(result)
        }
    }
}
