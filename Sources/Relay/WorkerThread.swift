internal import CMachine
internal import Machine

/// The worker's own thread in a pipeline: drains the fast ring in bursts.
struct WorkerThread: ~Copyable {
    private var ring: ByteRingConsumer
    private var worker: Worker
    /// Set once the capture thread has put its last packet.
    private let inputEnded: StopFlag
    /// Waiting for room is in vain when one of these is set.
    private let giveUp: (StopFlag, StopFlag)

    /// Packets of one burst at most, so that the clock is read often enough.
    private static var burst: Int { @_noLocks get { 64 } }
    /// Empty polls before the worker sleeps, and how long it then does: a pause is noticed after about 100 µs, and an
    /// idle sensor leaves its core alone.
    private static var spins: Int { @_noLocks get { 200 } }
    private static var nap: UInt64 { @_noLocks get { 50_000 } }
    private static var napsBetweenPauses: Int { @_noLocks get { 400 } }

    init(
        ring: consuming ByteRingConsumer, worker: consuming Worker, inputEnded: StopFlag,
        giveUp: (StopFlag, StopFlag)
    ) {
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
            case .some: empty = 0
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
        case some, none
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
                return count > 0 ? .some : .held
            }
            ring.consume(packet.entryByteCount)
            count += 1
        }
        ring.release()
        return count > 0 ? .some : .none
    }

    @_noLocks private mutating func wait(_ empty: Int) {
        if empty < Self.spins { return spillway_cpu_relax() }
        // Again and again in a long pause: unfinished datagrams grow old in it.
        if (empty - Self.spins - 2) % Self.napsBetweenPauses == 0, !worker.isEmpty { worker.pause() }
        Clock.sleep(nanoseconds: Self.nap)
    }
}
