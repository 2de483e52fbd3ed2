internal import CMachine
internal import CXDP
internal import Machine
internal import Pcapng

/// Puts the packets of capture files, or of a cache, on the wire.
///
/// One thread reads, waits and sends. Packets that are due at the same time go to the kernel together.
public struct WireReplay: ~Copyable {
    /// What is to be done.
    public struct Job: Sendable {
        /// Capture files, or cache directories, one after the other; `-` is standard input.
        public var inputs: [String]
        /// The interface.
        public var interface: String
        /// How fast.
        public var pace = ReplayPace.recorded(millionths: 1_000_000)
        /// How often all inputs are gone through; 0 for without end.
        public var loops: UInt64 = 1
        /// Packets after which it ends.
        public var count: UInt64?
        /// How it is sent; nil for the best there is.
        public var mode: TransmitMode?

        /// Everything of these inputs once, as recorded.
        public init(inputs: [String], interface: String) {
            (self.inputs, self.interface) = (inputs, interface)
        }
    }

    let job: Job
    /// The packets after which it ends, and the longest frame; apart from what has references, for the data plane.
    private let limit: UInt64, frameLimit: Int
    private var queue: TransmitQueue
    private var clock: PaceClock
    private let signals: StopSignals
    /// What has become of it so far; whole when `run` has ended, by an error too.
    public internal(set) var report = WireReplayReport()
    private var isStopped = false
    private var started: UInt64 = 0, ended: UInt64 = 0
    private var lateSum: UInt64 = 0, lateCount: UInt64 = 0
    /// When it was last looked for a signal.
    private var lastLook: UInt64 = 0
    private let progress: (WireReplayReport) -> Void
    private var shown: UInt64 = 0

    /// Opens the interface.
    ///
    /// - Parameter progress: called now and then with what has been sent.
    public init(
        _ job: Job, progress: @escaping (WireReplayReport) -> Void = { _ in }
    ) throws(TransmitError) {
        let interface = try OutgoingInterface(job.interface)
        let queue = try interface.queue(job.mode)
        do throws(SystemError) { signals = try StopSignals() } catch { throw .gone(job.interface, error) }
        clock = PaceClock(job.pace)
        self.progress = progress
        self.job = job
        (limit, frameLimit) = (job.count ?? .max, interface.frameLimit)
        report.interface = job.interface
        report.mode = queue.mode
        self.queue = queue
        spillway_transmit_be_punctual()
    }

    /// How it sends.
    public var mode: TransmitMode { report.mode }

    /// Whether it is to go on.
    var goesOn: Bool { @_noLocks get { !isStopped && queue.failure == 0 } }

    // ---- the data plane ------------------------------------------------------------------------------------------

    /// A packet of the input, and what is known of it.
    struct Packet: BitwiseCopyable {
        var time: UInt64
        var captured: Int
        var original: Int
        var isEthernet: Bool
        /// Bytes of frame check sequence at its end.
        var checkBytes: Int
        var isFirstOfFile: Bool
    }

    /// Sends one packet when it is due. False when nothing more is to be sent.
    @_noLocks mutating func send(_ packet: Packet, _ bytes: UnsafeRawPointer) -> Bool {
        if report.packets >= limit {
            isStopped = true
            return false
        }
        report.packets &+= 1
        if report.packets & 63 == 0 { _ = lookAround() }
        let isWhole = packet.captured >= packet.original
        let length = packet.captured &- (isWhole ? packet.checkBytes : 0)
        if unsafe !isFit(packet, bytes, length) { return true }
        if !isWhole { report.snapped &+= 1 }
        if clock.isOn {
            waitUntilDue(packet)
            if !goesOn { return takeBack(isWhole) }
        }
        while !queue.hasRoom() {
            if !queue.flush(), !lookAround() { return takeBack(isWhole) }
        }
        report.sentBytes &+= UInt64(length)
        if unsafe queue.put(bytes, count: length), !queue.flush(), queue.failure != 0 { return false }
        return true
    }

    /// The packet in hand is not sent after all: a signal came while it waited.
    @_noLocks private mutating func takeBack(_ isWhole: Bool) -> Bool {
        report.packets &-= 1
        if !isWhole { report.snapped &-= 1 }
        return false
    }

    @_noLocks private mutating func isFit(_ packet: Packet, _ bytes: UnsafeRawPointer, _ length: Int) -> Bool {
        if !packet.isEthernet {
            report.otherLinkType &+= 1
        } else if length < 14 {
            report.tooShort &+= 1
        } else if unsafe !OutgoingInterface.takes(bytes, count: length, limit: frameLimit) {
            report.tooLarge &+= 1
        } else {
            return true
        }
        return false
    }

    /// Waits, if there is time, with everything else already on its way.
    @_noLocks private mutating func waitUntilDue(_ packet: Packet) {
        var now = Clock.monotonic()
        let due = clock.due(
            time: packet.time, bytes: packet.captured, now: now, isFirstOfFile: packet.isFirstOfFile)
        if due > now, report.packets > 1 {
            while !queue.flush(), lookAround() {}
            now = Clock.monotonic()
        }
        while due > now, goesOn {
            // A sleep ends tens of microseconds late; the rest is spent looking at the clock.
            let rest = due &- now
            if rest > 150_000 {
                _ = lookAround()
                Clock.sleep(nanoseconds: min(rest &- 100_000, 20_000_000))
            } else {
                _ = lookAround()
            }
            now = Clock.monotonic()
        }
        // A signal came while it waited.
        guard now >= due else { return }
        let late = now &- due
        report.latestBy = max(report.latestBy, late)
        lateSum &+= late
        lateCount &+= 1
    }

    /// A moment's rest while the interface takes nothing, and a look for signals; false if it is not to go on.
    @_noLocks mutating func lookAround() -> Bool {
        let now = Clock.monotonic()
        if now &- lastLook > 10_000_000 {
            lastLook = now
            look(now)
        } else {
            spillway_cpu_relax()
        }
        return goesOn
    }

    /// Signals and the status line are control plane, now and then.
    @_semantics("no_performance_analysis") @inline(never)
    private mutating func look(_ now: UInt64) {
        if signals.wait(nanoseconds: 0) { isStopped = true }
        guard now &- shown > 500_000_000 else { return }
        shown = now
        progress(current)
    }

    // ---- the control plane ---------------------------------------------------------------------------------------

    private var current: WireReplayReport {
        var report = report
        report.sent = queue.taken &- queue.dropped
        report.dropped = queue.dropped
        report.seconds = Double((ended == 0 ? Clock.monotonic() : ended) &- started) / 1e9
        report.lateMean = lateCount > 0 ? lateSum / lateCount : 0
        return report
    }

    /// Sends everything, waits until it has left, and says what became of it.
    ///
    /// - Throws: when the interface goes or is set down meanwhile.
    public mutating func run() throws(TransmitError) -> WireReplayReport {
        let cpu = Clock.threadCPU()
        started = Clock.monotonic()
        repeat {
            report.loops += 1
            let before = report.packets
            for input in job.inputs where goesOn { play(input) }
            // Without packets, or with nothing but problems, another time would bring nothing.
            if report.packets == before { break }
        } while goesOn && (job.loops == 0 || report.loops < job.loops)
        while queue.failure == 0, !queue.flush() { Clock.sleep(nanoseconds: 50_000) }
        ended = Clock.monotonic()
        // What the driver has not reported back after a second will not be reported.
        while queue.failure == 0, !queue.isDrained(), Clock.monotonic() &- ended < 1_000_000_000 {
            Clock.sleep(nanoseconds: 200_000)
        }
        report = current
        report.cpu = Clock.threadCPU() &- cpu
        if queue.failure != 0 { throw .gone(job.interface, SystemError("send", code: queue.failure)) }
        return report
    }

    /// Notes what is wrong with an input.
    mutating func note(_ problem: String) {
        if report.problems.count < 100 { report.problems.append(problem) }
    }
}
