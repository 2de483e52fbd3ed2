/// What `spillway run` was told, each value understood and all of them checked against each other.
///
/// A value that is nil was not given; what happens then is decided by who uses it.
public struct RunOptions: Sendable {
    /// Where packets come from.
    public enum Inputs: Sendable, Equatable {
        /// Network interfaces.
        case interfaces([Interface])
        /// Capture files; `-` is standard input.
        case files([String])
    }

    /// A network interface, `IFACE` or `IFACE@QUEUES`.
    public struct Interface: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// The receive queues to capture from, ascending; nil for all.
        public var queues: [UInt32]?

        /// An interface.
        public init(_ name: String, queues: [UInt32]? = nil) {
            self.name = name
            self.queues = queues
        }
    }

    /// What the host's stack sees of the packets.
    public enum Tap: String, Sendable, CaseIterable {
        case consume
        case selective
        case mirror
    }

    /// Who gets what.
    public enum Distribution: String, Sendable, CaseIterable {
        case replicate
        case roundRobin = "round-robin"
        case flow
    }

    /// The rung of the capture ladder.
    public enum Capture: String, Sendable, CaseIterable {
        case auto
        case zeroCopy = "xdp-zerocopy"
        case native = "xdp-native"
        case generic = "xdp-generic"
        case afPacket = "af-packet"
    }

    /// Which pages the segment pool is on.
    public enum HugePages: String, Sendable, CaseIterable {
        case auto
        case huge2M = "2M"
        case huge1G = "1G"
        case off
    }

    /// How much goes towards TCP.
    public enum Admit: Sendable, Equatable {
        /// What the governor says.
        case auto
        /// One packet in so many.
        case oneIn(UInt32)
    }

    /// What is diverted together.
    public enum AdmitBy: String, Sendable, CaseIterable {
        case packet, flow
    }

    /// What is lost when the pool is full and nothing else helps.
    public enum OnFull: String, Sendable, CaseIterable {
        case dropOldest = "drop-oldest"
        case dropNewest = "drop-newest"
    }

    /// When what is on disk is sent.
    public enum Replay: String, Sendable, CaseIterable {
        case idle
        case eager
        case off
    }

    /// What is kept in the cache though nobody is owed it.
    public enum Keep: Sendable, Equatable {
        case off
        /// Nanoseconds.
        case time(UInt64)
        case bytes(Int)
    }

    /// What survives a loss of power.
    public enum Sync: String, Sendable, CaseIterable {
        case none
        case interval
        case batch
    }

    /// Whether fragments are put together.
    public enum Reassembly: String, Sendable, CaseIterable {
        case on
        case off
    }

    /// What becomes of datagrams whose fragments overlap.
    public enum Overlap: String, Sendable, CaseIterable {
        case drop, first, last, bsd
        case bsdRight = "bsd-right"
        case linux, windows, solaris
    }

    /// The placement of threads, in ascending CPU numbers.
    public struct Placement: Sendable, Equatable {
        /// CPUs of capture threads.
        public var capture: [Int]?
        /// CPUs of workers.
        public var worker: [Int]?
        /// CPUs of egress.
        public var egress: [Int]?
        /// CPUs of everything else.
        public var control: [Int]?
        /// nil for `auto`.
        public var numaNode: Int?
    }

    /// Where packets come from.
    public var inputs: Inputs
    /// The sensor's name.
    public var name: String
    /// Where to connect, names unique.
    public var destinations: [Destination]
    /// Where readers connect.
    public var listeners: [Listener]
    /// Who gets what.
    public var distribute: Distribution?
    /// Nanoseconds after which the share of a destination that is down goes to others; 0 for never.
    public var reassignAfter: UInt64?
    /// Bytes written and not acknowledged, per destination.
    public var ackWindow: Int?
    /// The file with the token shared with collectors.
    public var tokenFile: String?
    /// Addresses from which readers may connect, as they were written; none for all.
    public var allow: [String]
    /// One capture file in capture order; `-` is standard output.
    public var write: String?
    /// A filter in libpcap's language.
    public var filter: String?
    /// Bytes kept of each packet, 1 to 262144.
    public var snapLength: UInt32?
    /// Packets after which the run ends.
    public var count: UInt64?
    /// Nanoseconds after which the run ends.
    public var duration: UInt64?
    /// How fast files are read.
    public var pace: Pace?
    /// The rung of the capture ladder.
    public var capture: Capture?
    /// What the host's stack sees.
    public var tap: Tap?
    /// Whether sockets are polled without pause.
    public var busyPoll: Bool?
    /// The memory budget in bytes.
    public var memory: Int?
    /// Bytes of a segment, a power of two.
    public var segmentSize: Int?
    /// Pages of the segment pool.
    public var hugepages: HugePages?
    /// Where threads run.
    public var placement = Placement()
    /// Bytes at which a batch closes.
    public var batchSize: Int?
    /// Nanoseconds after which a batch closes.
    public var batchTime: UInt64?
    /// Packets of a batch at most.
    public var batchPackets: UInt32?
    /// Whether fragments are put together.
    public var reassemble: Reassembly?
    /// What becomes of datagrams whose fragments overlap.
    public var overlap: Overlap?
    /// Nanoseconds a fragment waits for the others of its datagram.
    public var fragmentTimeout: UInt64?
    /// Bytes for fragments that wait.
    public var fragmentMemory: Int?
    /// How much goes towards TCP when not everything can.
    public var admit: Admit?
    /// What is diverted together.
    public var admitBy: AdmitBy?
    /// What may be diverted, a filter in libpcap's language.
    public var admitMatch: String?
    /// What is lost when the pool is full.
    public var onFull: OnFull?
    /// The directory of the spill cache.
    public var spill: String?
    /// Bytes of all cache files, and of one.
    public var spillSize: Int?, spillFileSize: Int?
    /// Nanoseconds after which what was not sent leaves memory for the cache.
    public var memoryAge: UInt64?
    /// What of the cache survives a loss of power.
    public var sync: Sync?
    /// When what is on disk is sent.
    public var replay: Replay?
    /// Nanoseconds after which what is on disk is let go of.
    public var spillAge: UInt64?
    /// Bytes per second at which it is sent.
    public var replayRate: Int?
    /// What is kept of what is delivered.
    public var keep: Keep?
    /// Nanoseconds the end of a run waits for destinations that make no progress.
    public var drainTimeout: UInt64?
    /// A directory that is served beside the run.
    public var serve: Serving?
    /// Where metrics are served.
    public var metrics: Address?
    /// Where the final figures go; `-` is standard output.
    public var report: String?

    /// Understands and checks all values.
    ///
    /// - Parameter hostName: from it the sensor's name is made, if none is given.
    public init(_ settings: Settings, hostName: String) throws(OptionError) {
        inputs = try Self.inputs(settings)
        name = try settings.name ?? Values.name(from: hostName)
        destinations = try settings.destinations()
        listeners = try settings.listeners()
        distribute = try settings.choice(.distribute)
        reassignAfter = try settings.time(.reassignAfter, least: 0)
        ackWindow = try settings.size(.ackWindow, 64 << 10...1 << 30)
        tokenFile = try settings.plainPath(.tokenFile)
        allow = try settings.allowedAddresses()
        write = try settings.path(.write)
        filter = settings.last(.filter)?.text
        snapLength = try settings.snapLength()
        count = try settings.count(.count, 1...UInt64.max)
        duration = try settings.time(.duration, least: 1)
        pace = try settings.pace()
        capture = try settings.choice(.capture)
        tap = try settings.choice(.tap)
        busyPoll = try settings.flag(.busyPoll)
        memory = try settings.size(.memory, 1...Int.max)
        segmentSize = try settings.segmentSize()
        hugepages = try settings.choice(.hugepages)
        placement = try settings.placement()
        batchSize = try settings.size(.batchSize, 256...(segmentSize ?? 2 << 20))
        batchTime = try settings.time(.batchTime, least: 1)
        batchPackets = try settings.count(.batchPackets, 1...UInt64(UInt32.max)).map(UInt32.init)
        reassemble = try settings.choice(.reassemble)
        overlap = try settings.choice(.overlap)
        fragmentTimeout = try settings.time(.fragmentTimeout, least: 1)
        fragmentMemory = try settings.size(.fragmentMemory, 256 << 10...Int.max)
        admit = try settings.value(.admit, "auto, or a whole number from 1 to 1024: one packet in so many") { text in
            if text == "auto" { return .auto }
            return Values.count(text).flatMap { (1...1024).contains($0) ? .oneIn(UInt32($0)) : nil }
        }
        admitBy = try settings.choice(.admitBy)
        admitMatch = settings.last(.admitMatch)?.text
        onFull = try settings.choice(.onFull)
        spill = try settings.plainPath(.spill)
        spillFileSize = try settings.size(.spillFileSize, 1 << 20...1 << 40)
        spillSize = try settings.size(.spillSize, 4 << 20...1 << 50)
        memoryAge = try settings.time(.memoryAge, least: 1)
        sync = try settings.choice(.sync)
        replay = try settings.choice(.replay)
        replayRate = try settings.size(.replayRate, 1 << 10...Int.max)
        spillAge = try settings.time(.spillAge, least: 1)
        keep = try settings.keep()
        drainTimeout = try settings.time(.drainTimeout, least: 0)
        serve = try settings.serving()
        metrics = try settings.address(.metrics)
        report = try settings.path(.report)
        try checkTogether(settings)
    }

    private static func inputs(_ settings: Settings) throws(OptionError) -> Inputs {
        let (interfaces, files) = (settings.all(.interface), settings.all(.read))
        if let interface = interfaces.first, let file = files.first {
            throw OptionError(
                "\(interface.quotation) and \(file.quotation): a run reads interfaces or files; give -i or -r, not both"
            )
        }
        if interfaces.isEmpty && files.isEmpty {
            throw OptionError("no input: give -i INTERFACE or -r FILE, each as often as needed")
        }
        return interfaces.isEmpty
            ? .files(try settings.inputFiles()) : .interfaces(try settings.interfaces())
    }

    /// What no value can be blamed for alone.
    private func checkTogether(_ settings: Settings) throws(OptionError) {
        if destinations.isEmpty && listeners.isEmpty && write == nil {
            throw OptionError("no output: give --to HOST:PORT, --to null, --listen ADDR:PORT or -w FILE")
        }
        if let write = settings.last(.write), let report = settings.last(.report), write.text == report.text {
            throw OptionError(
                "\(write.quotation) and \(report.quotation): both to the same place; give one of them another file")
        }
        if case .files(let files) = inputs {
            for output in [settings.last(.write), settings.last(.report)] {
                guard let output, output.text != "-", files.contains(output.text) else { continue }
                throw OptionError("\(output.quotation): this file is also read; write to another one")
            }
        }
        try checkSharing(settings)
        if let allow = settings.last(.allow), listeners.isEmpty, allow.origin == .commandLine {
            throw OptionError(
                "\(allow.quotation): nobody connects to this run; give --listen ADDR:PORT, or leave it out")
        }
        try checkSpill(settings)
        try checkInputKind(settings)
        try checkTap(settings)
    }

    private func checkSharing(_ settings: Settings) throws(OptionError) {
        let connections = destinations.filter { $0.address != nil }
        guard let how = settings.last(.distribute), distribute != .replicate else {
            if let one = connections.first(where: { $0.share != nil }) {
                throw OptionError(
                    "--to \(one.name): share= is for destinations that share; give --distribute round-robin or flow")
            }
            return
        }
        if let one = connections.first(where: { $0.backlog == .all }) {
            throw OptionError(
                "--to \(one.name): backlog=all is for destinations that get everything; leave it out, or \(how.quotation)"
            )
        }
        if connections.isEmpty {
            throw OptionError("\(how.quotation): nobody is there to share; give --to HOST:PORT, at best several times")
        }
    }

    /// What is said of a cache that there is not.
    private func checkSpill(_ settings: Settings) throws(OptionError) {
        guard spill == nil else { return }
        for option in [
            RunOption.admit, .admitBy, .admitMatch, .spillSize, .spillFileSize, .spillAge, .memoryAge, .keep, .sync,
            .replay, .replayRate,
        ] {
            guard let setting = settings.last(option), setting.origin == .commandLine else { continue }
            throw OptionError("\(setting.quotation): there is no cache; give --spill DIR, or leave it out")
        }
    }

    /// AF_XDP takes packets from the stack, a packet socket never does.
    private func checkTap(_ settings: Settings) throws(OptionError) {
        guard let tap, let other = settings.last(.tap) else { return }
        if tap == .selective, filter == nil {
            throw OptionError("\(other.quotation): give -f EXPR, which says what is taken from the stack")
        }
        guard let capture, capture != .auto, let one = settings.last(.capture) else { return }
        if (capture == .afPacket) == (tap == .mirror) { return }
        throw OptionError(
            "\(one.quotation) and \(other.quotation): AF_XDP takes packets from the stack (consume, selective),"
                + " af-packet leaves them to it (mirror); leave one of the two options out")
    }

    /// Options for the other kind of input: a mistake on the command line, but fine in a file or an environment that
    /// several runs share.
    private func checkInputKind(_ settings: Settings) throws(OptionError) {
        let isFiles = if case .files = inputs { true } else { false }
        let others: [RunOption] =
            isFiles ? [.capture, .tap, .busyPoll, .admit, .admitBy, .admitMatch] : [.pace]
        for option in others {
            guard let setting = settings.last(option), setting.origin == .commandLine else { continue }
            throw OptionError(
                "\(setting.quotation): only for \(isFiles ? "interfaces (-i)" : "files (-r)"); leave it out")
        }
    }
}
