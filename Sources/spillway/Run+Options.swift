import Machine
import Options
import Reassembly
import Relay
import SegmentPool

extension Run {
    /// What the command line gives for each option.
    var given: [RunOption: [String]] {
        let single: [RunOption: String?] = [
            .name: input.name, .filter: input.filter, .snaplen: input.snaplen, .count: input.count,
            .duration: input.duration, .pace: input.pace, .capture: input.capture, .tap: input.tap,
            .busyPoll: input.busyPoll ? "true" : nil,
            .write: output.write, .distribute: output.distribute, .onFull: output.onFull,
            .admit: output.admit, .admitBy: output.admitBy, .admitMatch: output.admitMatch,
            .reassignAfter: output.reassignAfter, .ackWindow: output.ackWindow, .tokenFile: output.tokenFile,
            .drainTimeout: output.drainTimeout, .memory: memory.memory, .segmentSize: memory.segmentSize,
            .hugepages: memory.hugepages, .batchSize: memory.batchSize, .batchTime: memory.batchTime,
            .batchPackets: memory.batchPackets,
            .spill: cache.spill, .spillSize: cache.spillSize, .spillFileSize: cache.spillFileSize,
            .memoryAge: cache.memoryAge, .sync: cache.sync, .replay: cache.replay,
            .spillAge: cache.spillAge, .replayRate: cache.replayRate, .keep: cache.keep,
            .reassemble: fragments.reassemble, .overlap: fragments.overlap,
            .fragmentTimeout: fragments.fragmentTimeout, .fragmentMemory: fragments.fragmentMemory,
            .captureCPUs: placement.captureCPUs, .workerCPUs: placement.workerCPUs,
            .egressCPUs: placement.egressCPUs, .controlCPUs: placement.controlCPUs, .numaNode: placement.numaNode,
            .serve: watching.serve, .metrics: watching.metrics, .report: watching.report,
        ]
        let several: [RunOption: [String]] = [
            .interface: input.interface, .read: input.read, .to: output.to, .listen: output.listen,
            .allow: output.allow,
        ]
        return single.compactMapValues { $0.map { [$0] } }.merging(several) { one, _ in one }
    }
}

extension RelayOptions {
    /// The relay's options, with its own defaults for what was not given.
    init(_ options: RunOptions) {
        self.init()
        switch options.inputs {
        case .interfaces(let names): inputs = names.map { Input.interface($0.name, queues: $0.queues) }
        case .files(let paths): inputs = paths.map(Input.file)
        }
        name = options.name
        destinations = options.destinations.map(Destination.init)
        listeners = options.listeners.map { listener in
            Listener(
                address: HostPort(listener.address), wire: Wire(listener.wire), order: listener.order.map(Order.init))
        }
        distribution = options.distribute.map(ShareBoard.Rule.init) ?? .everybody
        reassignAfter = options.reassignAfter ?? reassignAfter
        // For tests, which break connections by the thousand (CONTRIBUTING.md).
        if let text = Surroundings.environment["SPILLWAY_RETRY_LIMIT"], let time = Values.time(text), time > 0 {
            retryLongest = time
        }
        ackWindow = options.ackWindow ?? ackWindow
        tokenFile = options.tokenFile
        allow = options.allow
        outputFile = options.write
        if case .oneIn(let n) = options.admit { admit.fixed = n }
        (admit.isByFlow, admit.match) = (options.admitBy == .flow, options.admitMatch)
        filter = options.filter
        snapLength = options.snapLength ?? snapLength
        count = options.count
        duration = options.duration
        pace = options.pace.map(Pace.init) ?? pace
        capture = options.capture.map(CaptureMode.init) ?? capture
        tap = options.tap.map(Tap.init)
        busyPoll = options.busyPoll ?? busyPoll
        onFull = options.onFull.map(OnFull.init) ?? onFull
        drainTimeout = options.drainTimeout ?? drainTimeout
        serve = options.serve.map { Serving(address: HostPort($0.address), directory: $0.directory) }
        metrics = options.metrics.map(HostPort.init)
        report = options.report
        setMemory(options)
        setCache(options)
        setFragments(options)
    }

    private mutating func setFragments(_ options: RunOptions) {
        reassembles = options.reassemble.map { $0 == .on } ?? reassembles
        overlap = options.overlap.map(OverlapPolicy.init) ?? overlap
        fragmentTimeout = options.fragmentTimeout ?? fragmentTimeout
        if let memory = options.fragmentMemory { fragmentMemory = memory }
    }

    private mutating func setCache(_ options: RunOptions) {
        guard let directory = options.spill else { return }
        var cache = Spill(directory: directory)
        cache.bytes = options.spillSize ?? cache.bytes
        // Space is won a file at a time, so that one file must not be all there may be.
        cache.fileBytes = options.spillFileSize ?? min(cache.fileBytes, max(cache.bytes / 8, 1 << 20))
        cache.memoryAge = options.memoryAge ?? cache.memoryAge
        cache.sync = options.sync.map(Sync.init) ?? cache.sync
        cache.replay = options.replay.map(Replay.init) ?? cache.replay
        cache.replayRate = options.replayRate ?? 0
        cache.age = options.spillAge
        switch options.keep {
        case .time(let time): cache.keep = .time(time)
        case .bytes(let bytes): cache.keep = .bytes(bytes)
        case .off, nil: break
        }
        spill = cache
    }

    private mutating func setMemory(_ options: RunOptions) {
        memory = options.memory ?? memory
        segmentSize = options.segmentSize ?? segmentSize
        hugepages = options.hugepages.map(PageKind.init) ?? hugepages
        numaNode = options.placement.numaNode
        captureCPUs = options.placement.capture.map { CPUSet($0) }
        workerCPUs = options.placement.worker.map { CPUSet($0) }
        egressCPUs = options.placement.egress.map { CPUSet($0) }
        controlCPUs = options.placement.control.map { CPUSet($0) }
        batch = BatchLimits(
            bytes: options.batchSize ?? batch.bytes, packets: options.batchPackets ?? batch.packets,
            time: options.batchTime ?? batch.time)
    }
}

extension RelayOptions.Destination {
    /// A destination as it was written.
    init(_ destination: Options.Destination) {
        self.init(
            address: destination.address.map(HostPort.init), name: destination.name,
            wire: RelayOptions.Wire(destination.wire), order: destination.order.map(RelayOptions.Order.init),
            ack: destination.ack.map(RelayOptions.Acknowledgement.init), share: destination.share ?? 1)
        takesBacklog = destination.backlog == .all
    }
}

extension HostPort {
    init(_ address: Address) { self.init(host: address.host, port: address.port) }
}

extension RelayOptions.Wire {
    init(_ wire: Options.Wire) {
        switch wire {
        case .pcapng: self = .pcapng
        case .pcap: self = .pcap
        case .pcapNanoseconds: self = .pcapNanoseconds
        }
    }
}

extension RelayOptions.Acknowledgement {
    init(_ ack: Options.Acknowledgement) {
        switch ack {
        case .auto: self = .auto
        case .required: self = .required
        case .none: self = .none
        }
    }
}

extension ShareBoard.Rule {
    init(_ distribution: RunOptions.Distribution) {
        switch distribution {
        case .replicate: self = .everybody
        case .roundRobin: self = .byTurns
        case .flow: self = .byFlow
        }
    }
}

extension RelayOptions.Order {
    init(_ order: Options.Order) {
        switch order {
        case .newestFirst: self = .newestFirst
        case .oldestFirst: self = .oldestFirst
        }
    }
}

extension RelayOptions.Pace {
    init(_ pace: Options.Pace) {
        switch pace {
        case .max: self = .max
        case .recorded: self = .recorded
        case .packetsPerSecond(let rate): self = .packetsPerSecond(rate)
        case .bitsPerSecond(let rate): self = .bitsPerSecond(rate)
        }
    }
}

extension RelayOptions.CaptureMode {
    init(_ capture: RunOptions.Capture) {
        switch capture {
        case .auto: self = .auto
        case .zeroCopy: self = .zeroCopy
        case .native: self = .native
        case .generic: self = .generic
        case .afPacket: self = .afPacket
        }
    }
}

extension OverlapPolicy {
    init(_ overlap: RunOptions.Overlap) {
        switch overlap {
        case .drop: self = .drop
        case .first: self = .first
        case .last: self = .last
        case .bsd: self = .bsd
        case .bsdRight: self = .bsdRight
        case .linux: self = .linux
        case .windows: self = .windows
        case .solaris: self = .solaris
        }
    }
}

extension RelayOptions.Tap {
    init(_ tap: RunOptions.Tap) {
        switch tap {
        case .consume: self = .consume
        case .selective: self = .selective
        case .mirror: self = .mirror
        }
    }
}

extension RelayOptions.OnFull {
    init(_ onFull: RunOptions.OnFull) {
        switch onFull {
        case .dropOldest: self = .dropOldest
        case .dropNewest: self = .dropNewest
        }
    }
}

extension RelayOptions.Sync {
    init(_ sync: RunOptions.Sync) {
        switch sync {
        case .none: self = .none
        case .interval: self = .interval
        case .batch: self = .batch
        }
    }
}

extension RelayOptions.Replay {
    init(_ replay: RunOptions.Replay) {
        switch replay {
        case .idle: self = .idle
        case .eager: self = .eager
        case .off: self = .off
        }
    }
}

extension PageKind {
    init(_ pages: RunOptions.HugePages) {
        switch pages {
        case .auto: self = .auto
        case .huge2M: self = .huge2M
        case .huge1G: self = .huge1G
        case .off: self = .off
        }
    }
}
