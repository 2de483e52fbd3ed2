internal import Machine

/// The worker's own thread in a pipeline: drains the fast ring in bursts.
struct WorkerThread: ~Copyable {
    private var ring: ByteRingConsumer
    private var worker: Worker
    /// Set once the capture thread has put its last packet.
    private let inputEnded: StopFlag
    /// Waiting for room is in vain when one of these is set.
    private let giveUp: (StopFlag, StopFlag)

    private var naps: Naps
    private var nap: UInt64 = 0

    /// Packets of one burst at most, so that the clock is read often enough.
    private static var burst: Int { @_noLocks get { 64 } }
    /// After so many naps without a packet the input counts as paused.
    private static var emptyNaps: Int { @_noLocks get { 2 } }
    /// While there is no room, or no packet.
    private static var nap: UInt64 { @_noLocks get { 100_000 } }
    /// In a long pause worker and table are looked after this often, in naps.
    private static var napsBetweenPauses: Int { @_noLocks get { 200 } }

    init(
        ring: consuming ByteRingConsumer, worker: consuming Worker, inputEnded: StopFlag,
        giveUp: (StopFlag, StopFlag), longestNap: UInt64
    ) {
        // A ring holds more small packets than come in a nap, and of large ones fewer than that come.
        naps = Naps(longest: longestNap, room: 1 << 14)
        self.giveUp = giveUp
        self.ring = ring
        self.worker = worker
        self.inputEnded = inputEnded
    }

    /// Runs until the input has ended and the ring is empty.
    @_noLocks mutating func run() {
        var empty = 0
        while true {
            // Looked at before the ring: what was put before the end was announced is then certainly seen.
            let isOver = inputEnded.isSet
            if giveUp.0.isSet || giveUp.1.isSet { worker.stopWaiting() }
            switch drain() {
            case .some(let count):
                empty = 0
                naps.took(count)
            case .held: Clock.sleep(nanoseconds: Self.nap)
            case .none where isOver:
                if worker.finish() { return }
                Clock.sleep(nanoseconds: Self.nap)
            case .none:
                empty += 1
                wait(empty)
            }
        }
    }

    /// What a turn found in the ring.
    private enum Burst {
        case some(Int), none
        /// Packets, but no room for the first of them.
        case held
    }

    @_noLocks private mutating func drain() -> Burst {
        worker.beginBurst()
        var count = 0
        while count < Self.burst, let entry = unsafe ring.peek() {
            let packet = unsafe Arrived(entry: entry)
            // A reader that is to wait waits here: the ring fills up behind it and holds the capture thread back.
            guard unsafe worker.take(packet, entry + Arrived.entryBytes) else {
                ring.release()
                worker.endBurst()
                return count > 0 ? .some(count) : .held
            }
            ring.consume(packet.entryByteCount)
            count += 1
        }
        ring.release()
        worker.endBurst()
        return count > 0 ? .some(count) : .none
    }

    /// Nobody wakes a worker, so it naps also while the input pauses.
    @_noLocks private mutating func wait(_ empty: Int) {
        if empty == 1 { nap = naps.choose(at: Clock.monotonic()) ?? Self.nap }
        // Again and again in a long pause: unfinished datagrams grow old in it.
        if (empty - Self.emptyNaps - 1) % Self.napsBetweenPauses == 0, !worker.isEmpty { worker.pause() }
        Clock.sleep(nanoseconds: nap)
    }
}
