internal import Capture
internal import Egress
internal import Machine
internal import Pcapng
internal import SegmentPool

/// Where the bytes of `--memory` go: a sum with a reason per term. What is left after all other terms are segments.
struct MemoryBudget {
    /// One term of the sum.
    struct Term {
        var bytes: Int
        var reason: String
    }

    private(set) var terms: [Term] = []
    let segments: Int

    /// What the program takes beside its budget: code, libraries, stacks, the control plane's heap.
    static let programBytes = 64 << 20
    /// The fast ring of one pipelined lane.
    static let ringBytes = 8 << 20
    /// The kernel's receive ring of one interface.
    static let kernelRingBytes = 16 << 20

    /// Packet memory of an AF_XDP queue at most. A small packet takes a whole frame, so that it is more than a ring that
    /// packs them: at a million packets per second this holds 32 ms.
    static let packetMemoryBytes = 64 << 20

    /// Packet memory of an AF_XDP queue: less where many queues share a small budget. A power of two, and no less than
    /// 2 MiB.
    static func sizes(queues: Int, _ options: RelayOptions) -> XDPSizes {
        let share = options.memory / 4 / (options.inputs.count * queues)
        var bytes = packetMemoryBytes
        while bytes > share, bytes > 2 << 20 { bytes /= 2 }
        return XDPSizes(memoryBytes: bytes)
    }

    init(
        options: RelayOptions, lanes: [Placement.Lane], interfaces: LiveInterfaces, plans: [DestinationPlan],
        limits: EgressLimits, fragments: FragmentPlan, openBatches: Int
    ) throws(RelayError) {
        // Each open batch of a worker has a writer with segments of its own.
        let writers = lanes.count * openBatches
        let slots = max(EgressSetup.slotCount(plans, limits, keeps: options.spill?.keep != nil), 1)
        guard slots <= BatchIndex.maximumSlots else {
            throw RelayError(
                .usage,
                "--to, --listen and -w need places for \(slots) destinations; a run has \(BatchIndex.maximumSlots)"
                    + " (each --listen takes \(limits.guestsPerListener), for its readers)")
        }
        func others(_ options: RelayOptions, _ fragments: FragmentPlan) -> [Term] {
            Self.terms(options, lanes, interfaces, fragments)
                + [
                    Term(
                        bytes: EgressSetup.byteCount(plans, limits),
                        reason: "buffers of all connections, the readers' places included"),
                    Term(
                        bytes: options.spill == nil ? 0 : SpillSetup.byteCount(plans, limits),
                        reason: "catalogue of the spill cache"),
                    Term(
                        bytes: BatchIndex.fixedBytes(slots: slots, workers: writers),
                        reason: "lists of the newest-first index"),
                ]
        }
        let terms = others(options, fragments).filter { $0.bytes > 0 }
        let index = BatchIndex.bytesPerSegment(segmentBytes: options.segmentSize, slots: slots)
        segments = max(0, (options.memory - Self.sum(terms)) / (options.segmentSize + index))
        let needed = writers * BatchIndex.segmentsPerWorker + 2
        guard segments >= needed else {
            // More memory means more for some of the others, too, so that enough is found step by step.
            var asked = options
            var least = 0
            repeat {
                asked.memory = max(least, options.memory)
                let plan = try FragmentPlan(options: asked, lanes: lanes.count, interfaces: interfaces)
                least = Self.sum(others(asked, plan)) + needed * (options.segmentSize + index)
            } while least > asked.memory
            throw RelayError(
                .usage,
                "--memory \(Size.text(options.memory)) is too small: this run needs at least \(Size.roundedUp(asked.memory))"
                    + " (\(needed) segments of \(Size.text(options.segmentSize)) and everything else)")
        }
        self.terms =
            terms + [
                Term(
                    bytes: segments * index,
                    reason: "newest-first index over the segments, \(slots) destinations at once"),
                Term(
                    bytes: segments * options.segmentSize,
                    reason: "\(segments) segments of \(Size.text(options.segmentSize))"
                        + (openBatches > 1
                            ? ", of which \(writers * BatchIndex.segmentsPerWorker) for \(openBatches) open batches per worker"
                            : "")),
            ]
    }

    private static func sum(_ terms: [Term]) -> Int { terms.reduce(0) { $0 + $1.bytes } }

    /// What capture and workers take beside segments. Some of it grows with `--memory`.
    private static func terms(
        _ options: RelayOptions, _ lanes: [Placement.Lane], _ interfaces: LiveInterfaces, _ fragments: FragmentPlan
    ) -> [Term] {
        var terms: [Term] = []
        func add(_ bytes: Int, _ reason: String) {
            if bytes > 0 { terms.append(Term(bytes: bytes, reason: reason)) }
        }
        let pipelined = lanes.count { !$0.isMerged }
        let live = interfaces.lanes.count { $0.queue == nil }
        let ring = PcapInterface.byteCount(ringBytes: kernelRingBytes)
        add(live * ring, "receive rings shared with the kernel, \(live) x \(Size.text(ring))")
        for (place, name) in interfaces.names.enumerated() {
            let queues = interfaces.lanes.count { $0.interface == place && $0.queue != nil }
            let memory = XDPQueue.byteCount(sizes(queues: max(queues, 1), options))
            add(queues * memory, "AF_XDP frames and rings of \(name), \(queues) x \(Size.text(memory))")
        }
        add(interfaces.lanes.isEmpty ? CaptureFile.bufferBytes : 0, "buffer of the capture file being read")
        add(pipelined * ringBytes, "fast rings, \(pipelined) x \(ringBytes >> 20) MiB")
        terms += fragments.terms(lanes: lanes.count)
        add(InterfaceRegistry.byteCount + InterfaceMap.byteCount, "interface descriptions of the run")
        add(OwnTraffic.byteCount, "addresses of our own connections")
        add(options.serve == nil ? 0 : RelayRun.servingBytes, "connections and queries of --serve")
        return terms
    }

    /// The sum, one line per term.
    var lines: [String] {
        let total = terms.reduce(0) { $0 + $1.bytes }
        return [
            "memory: \(Size.text(total)) in all, and at most \(Size.text(Self.programBytes)) for the program itself"
        ]
            + terms.map { "  \(Size.text($0.bytes)): \($0.reason)" }
    }
}

/// Sizes for people.
enum Size {
    /// Whole KiB, no less than the bytes, so that it can be given as an option.
    static func roundedUp(_ bytes: Int) -> String { "\((bytes + 1023) >> 10)K" }

    /// `2M`, `1.5G`, `700K`: powers of 1024.
    static func text(_ bytes: Int) -> String {
        for (unit, shift) in [("G", 30), ("M", 20), ("K", 10)] where bytes >= 1 << shift {
            let tenths = (bytes * 10) >> shift
            return tenths % 10 == 0 ? "\(tenths / 10)\(unit)" : "\(tenths / 10).\(tenths % 10)\(unit)"
        }
        return "\(bytes)"
    }
}

extension RelayOptions {
    /// Input are interfaces, not files.
    var isLive: Bool {
        if case .interface = inputs.first { true } else { false }
    }
}
