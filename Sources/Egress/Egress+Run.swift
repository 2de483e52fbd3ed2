internal import CMachine
internal import Glibc
internal import Machine
internal import SegmentPool
internal import SpillCache

/// The thread's life: turns of the data plane, control work between them, sleep when there is nothing to do.
extension Egress {
    /// Runs until every destination has what it can get; returns what became of each plan.
    public mutating func run() -> [DestinationOutcome] {
        prepare()
        var lastWork: UInt64 = 0
        while true {
            var now = Clock.monotonic()
            var work = turn(now: now)
            if now >= nextManaged || needsControl {
                nextManaged = now &+ 5_000_000
                if manage(now: now) { break }
            }
            if work > 0 {
                lastWork = now
                waitForEvents(nanoseconds: 0)
            } else {
                // While packets stream in there is something new after a while: nobody needs to wake this thread for it.
                let dozes = now &- lastWork < 4 * setup.doze
                setup.wake.announceSleep(lightly: dozes)
                now = Clock.monotonic()
                work = turn(now: now)
                if work > 0 { lastWork = now }
                waitForEvents(nanoseconds: work > 0 ? 0 : dozes ? setup.doze : 5_000_000)
                setup.wake.announceAwake()
            }
        }
        finishFiles()
        finishSpill()
        close(epoll)
        return outcomes()
    }

    /// A connection failed, or one waits for the map of a file: waiting for the next round of control would waste time its place
    /// could use.
    private var needsControl: Bool {
        if let cache, cache.recall.hasAnswer || cache.catalogue.isMapWanted { return true }
        for place in 0..<connectionCount where unsafe connections[place].isBroken { return true }
        return false
    }

    /// Whether a place is that of a destination we connect to: no reader of a listener, and not free.
    func isDestination(_ place: Int) -> Bool { unsafe !connections[place].isGuest && !connections[place].isSpare }

    private mutating func prepare() {
        watch(setup.wake.descriptor, EventSource.wakeWord)
        for (number, plan) in setup.plans.enumerated() {
            if case .listen(let socket) = plan.outlet { watch(socket, EventSource.word(listener: number)) }
        }
        let now = Clock.monotonic()
        for place in 0..<connectionCount where isDestination(place) {
            unsafe index.join(connections[place].slot, holds: connections[place].holds)
            if unsafe connections[place].disk != nil { unsafe index.allowSpill(connections[place].slot) }
            unsafe connections[place].state = .waiting
            unsafe connections[place].lastProgress = now
        }
        if keepSlot >= 0 {
            index.join(keepSlot, holds: true)
            index.allowSpill(keepSlot)
        }
        takeInEarlier()
        if let line = unsafe spill { unsafe line.pointee.permitFiles() }
        assignLanes()
        for place in 0..<fileCount {
            unsafe index.join(files[place].slot, holds: files[place].holds)
            unsafe index.pin(files[place].slot)
        }
    }

    // ---- events --------------------------------------------------------------------------------------------------

    func watch(_ descriptor: Int32, _ source: UInt64, writable: Bool = false, anew: Bool = false) {
        var event = unsafe epoll_event()
        unsafe event.events = EPOLLIN.rawValue
        if writable { unsafe event.events |= EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue }
        unsafe event.data.u64 = source
        _ = unsafe epoll_ctl(epoll, anew ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, &event)
    }

    private mutating func waitForEvents(nanoseconds: UInt64) {
        var events = unsafe InlineArray<32, epoll_event>(repeating: epoll_event())
        var span = unsafe events.mutableSpan
        var time = timespec(tv_sec: 0, tv_nsec: Int(nanoseconds))
        let count = unsafe span.withUnsafeMutableBufferPointer {
            unsafe epoll_pwait2(epoll, $0.baseAddress, 32, &time, nil)
        }
        guard count > 0 else { return }
        for place in 0..<Int(count) {
            let event = unsafe events[place]
            let source = unsafe EventSource(event.data.u64)
            let mask = unsafe event.events
            switch source {
            case .wake: break
            case .listener(let plan): accept(plan)
            case .connection(let place): handle(mask, connection: place)
            }
        }
    }
}

/// Who an epoll event is about, packed into its 64 bits.
enum EventSource {
    case wake
    case listener(Int)
    case connection(Int)

    static var wakeWord: UInt64 { 0 }
    static func word(listener plan: Int) -> UInt64 { 1 << 32 | UInt64(plan) }
    static func word(connection place: Int) -> UInt64 { 2 << 32 | UInt64(place) }

    init(_ word: UInt64) {
        switch word >> 32 {
        case 1: self = .listener(Int(word & 0xFFFF_FFFF))
        case 2: self = .connection(Int(word & 0xFFFF_FFFF))
        default: self = .wake
        }
    }
}
