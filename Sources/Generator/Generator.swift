internal import CBPF
internal import Glibc
internal import Machine

/// Makes packets in the kernel and sends them out of an interface.
///
/// The kernel runs an XDP program over frames of its own making (BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES,
/// Documentation/bpf/bpf_prog_run.rst) and hands what it redirects to the driver's ndo_xdp_xmit, the same way forwarded
/// frames go. A driver takes them only when it has set up queues for that:
///
/// - A veth (kernel 6.18, drivers/net/veth.c) takes them when its *peer* polls, which it does with an XDP program in native mode
///   or with GRO switched on. With neither, the redirect fails with EOPNOTSUPP. An XDP program on the sending end does not
///   help.
/// - Cards of most makers take them when there is a native XDP program on the card itself.
///
/// So the first frame is tried, and if it does not get out, a program that lets everything pass is put where it helps for as
/// long as the run lasts: on the peer if there is one in this network namespace, else on the interface.
public struct Generator: ~Copyable {
    /// What is to be sent.
    public struct Job: Sendable {
        /// The interface's name.
        public var interface: String
        /// What packets look like.
        public var traffic = Traffic()
        /// How fast they are sent.
        public var rate = Rate.max
        /// Packets after which the run ends; nil does not end it.
        public var count: UInt64?
        /// Nanoseconds after which the run ends; nil does not end it.
        public var duration: UInt64?

        /// 64-byte packets without end.
        public init(interface: String) { self.interface = interface }
    }

    private let job: Job
    private let link: Link
    private let kernel: KernelProgram
    private let template: [UInt8]
    private let schedule: Schedule
    private let signals: StopSignals
    private var started: UInt64 = 0
    private var helper: Int32?

    /// Frames after which the driver is told to send. A veth's ring holds 256, and the receiver has its turn after each
    /// batch.
    private static var batch: UInt32 { 64 }
    /// How long a driver may take until it sends, once it has been given a program.
    private static var patience: UInt64 { 5_000_000_000 }

    /// Prepares a run: loads the programs, and blocks SIGINT and SIGTERM, which then end it.
    public init(_ job: Job) throws(GeneratorError) {
        // Nothing is stored before the last step that can fail.
        let link = try Link(job.interface)
        let flows = if case .tcp = job.traffic.transport { job.traffic.flows } else { UInt32(1) }
        let signals: StopSignals
        do throws(SystemError) { signals = try StopSignals() } catch { throw GeneratorError(error) }
        kernel = try KernelProgram(name: job.interface, flows: flows)
        self.job = job
        self.link = link
        self.signals = signals
        template = job.traffic.template
        schedule = Schedule(rate: job.rate, duration: job.duration, meanBits: job.traffic.meanFrameBits)
    }

    deinit { if let helper { close(helper) } }

    /// Sends until the count, the duration or a signal ends it.
    ///
    /// - Parameter progress: called a few times a second with what has been done so far.
    public mutating func run(progress: (GeneratorReport) -> Void) throws(GeneratorError) -> GeneratorReport {
        guard try open() else { return report(at: Clock.monotonic()) }
        var problem: GeneratorError?
        do throws(GeneratorError) { try send(progress) } catch { problem = error }
        var report = report(at: Clock.monotonic())
        report.problem = problem
        return report
    }

    /// Sends the first frame; false if a signal came first.
    private mutating func open() throws(GeneratorError) -> Bool {
        try sendFirst()
        if kernel.state.sent > 0 { return true }
        let target = link.peer == nil || link.isPeerElsewhere ? link.index : link.peer!
        helper = kernel.attachHelper(to: target)
        let deadline = Clock.monotonic() + (helper == nil ? 0 : Self.patience)
        while Clock.monotonic() < deadline {
            try sendFirst()
            if kernel.state.sent > 0 { return true }
            // No patience makes an interface take larger frames.
            if kernel.state.error == EMSGSIZE { throw reason() }
            if signals.wait(nanoseconds: 20_000_000) { return false }
        }
        throw reason()
    }

    private mutating func sendFirst() throws(GeneratorError) {
        kernel.state = job.traffic.settings(
            interface: link.index, hardware: link.address, limit: job.count ?? .max)
        started = Clock.monotonic()
        try kernel.make(frames: 1, batch: 1, template: template)
    }

    /// Why the first frame does not get out.
    private func reason() -> GeneratorError {
        do throws(GeneratorError) { try link.check() } catch { return error }
        let code = kernel.state.error
        if code == EMSGSIZE { return .tooLarge(link.name, bytes: job.traffic.largestFrame) }
        if link.isPeerElsewhere {
            return .cannotTransmit(
                link.name,
                reason: "its peer, in another network namespace, takes no frames from XDP; run an XDP program on the "
                    + "peer, or switch on its GRO there ('ethtool -K PEER gro on')")
        }
        if let peer = link.peerName, helper == nil {
            return .cannotTransmit(
                link.name,
                reason: "its peer \(peer) takes no frames from XDP, and has a program that is not in the driver; switch"
                    + " on its GRO ('ethtool -K \(peer) gro on')")
        }
        let why = code == 0 ? "" : ": \(SystemError("redirect", code: code).reason)"
        return .cannotTransmit(link.name, reason: "the driver takes no frames from XDP\(why)")
    }

    private mutating func send(_ progress: (GeneratorReport) -> Void) throws(GeneratorError) {
        var shown = started
        var refused = kernel.state.refused
        while true {
            let state = kernel.state
            let now = Clock.monotonic()
            let elapsed = now - started
            if now - shown > 250_000_000 {
                progress(report(at: now))
                shown = now
            }
            let bits = state.made_bytes * 8
            let next = schedule.next(frames: state.made, bits: bits)
            let isOver =
                state.number >= job.count ?? .max || next >= job.duration ?? .max || elapsed >= schedule.lastCall
            let due = isOver ? 0 : schedule.due(at: elapsed, frames: state.made, bits: bits)
            let end = min(next, job.duration ?? .max)
            if due == 0 {
                if elapsed >= end || elapsed >= schedule.lastCall { return }
                let pause = isOver ? end - elapsed : max(end - elapsed, Schedule.interval)
                if signals.wait(nanoseconds: min(pause, 50_000_000)) { return }
                continue
            }
            try kernel.make(frames: UInt32(min(due, framesLeft(state))), batch: Self.batch, template: template)
            if signals.wait(nanoseconds: 0) { return }
            if kernel.state.refused != refused {
                refused = kernel.state.refused
                try link.check()
            }
        }
    }

    /// No more frames than these are needed for the packets that are left.
    private func framesLeft(_ state: spillway_generator) -> UInt64 {
        let (frames, overflow) = (job.count ?? .max).subtractingReportingOverflow(state.number)
        let (product, isTooLarge) = frames.multipliedReportingOverflow(by: job.traffic.mostFragments)
        return overflow ? 0 : isTooLarge ? .max : product
    }

    private func report(at now: UInt64) -> GeneratorReport {
        let state = kernel.state
        var report = GeneratorReport()
        (report.packets, report.frames, report.bytes) = (state.number, state.made, state.made_bytes)
        (report.sent, report.dropped, report.refused) = (state.sent, state.dropped, state.refused)
        report.seconds = Double(now - started) / 1e9
        return report
    }
}

extension Traffic {
    /// The most frames a packet is sent in.
    var mostFragments: UInt64 {
        guard let fragmentation else { return 1 }
        let payload = sizes.upperBound - linkLength - networkLength
        return UInt64(max(1, (payload + fragmentation.size - 1) / fragmentation.size))
    }

    /// Mean bits of a frame, roughly: the schedule only guesses with it, and then counts what was sent.
    var meanFrameBits: UInt64 {
        let packet: Int
        switch size {
        case .range(let range): packet = (range.lowerBound + range.upperBound) / 2
        case .imix: packet = mix.reduce(0, +) / mix.count
        }
        return UInt64(min(packet, largestFrame)) * 8
    }
}
