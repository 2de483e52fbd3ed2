public import Machine
public import Reassembly
public import SegmentPool

/// A TCP address as people write it: `192.0.2.7:57012`, `[2001:db8::7]:57012`, `host.example:57012`.
public struct HostPort: Sendable, Equatable, CustomStringConvertible {
    /// A name or a numeric address, without brackets.
    public var host: String
    /// TCP port.
    public var port: UInt16

    /// The address with these parts.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// As people write it.
    public var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

/// Everything `spillway run` can be told, validated as far as one value alone can be.
public struct RelayOptions: Sendable, Equatable {
    /// Where packets come from: interfaces, or files, never both.
    public enum Input: Sendable, Equatable {
        /// A network interface by name, and the receive queues to capture from; nil for all.
        case interface(String, queues: [UInt32]? = nil)
        /// A capture file; `-` is standard input.
        case file(String)
    }

    /// A directory that is served over HTTP beside the run.
    public struct Serving: Sendable, Equatable {
        /// Where clients connect.
        public var address: HostPort
        /// The directory, and nothing outside it.
        public var directory: String

        /// A directory at an address.
        public init(address: HostPort, directory: String) {
            self.address = address
            self.directory = directory
        }
    }

    /// What a destination's stream looks like.
    public enum Wire: String, Sendable, CaseIterable {
        case pcapng, pcap
        case pcapNanoseconds = "pcap-ns"
    }

    /// The order in which a destination gets batches.
    public enum Order: String, Sendable, CaseIterable {
        case newestFirst = "newest-first"
        case oldestFirst = "oldest-first"
    }

    /// Whether a destination is to acknowledge what it gets.
    public enum Acknowledgement: String, Sendable, CaseIterable {
        case auto, required, none
    }

    /// One `--to`.
    public struct Destination: Sendable, Equatable {
        /// Where to connect; nil for `--to null`.
        public var address: HostPort?
        /// The name it goes by in the report and the metrics; the address unless given. Unique within a run.
        public var name: String
        /// What the stream looks like.
        public var wire: Wire
        /// The order of batches.
        public var order: Order
        /// Whether it is to acknowledge.
        public var ack: Acknowledgement
        /// How many parts of the whole it gets, where destinations share.
        public var share: Int
        /// Whether one that is added to a run is owed what the run still holds.
        public var takesBacklog = false

        /// A destination.
        public init(
            address: HostPort?, name: String, wire: Wire = .pcapng, order: Order? = nil, ack: Acknowledgement? = nil,
            share: Int = 1
        ) {
            self.share = share
            self.ack = ack ?? (wire == .pcapng ? .auto : .none)
            self.address = address
            self.name = name
            self.wire = wire
            self.order = order ?? (wire == .pcapng ? .newestFirst : .oldestFirst)
        }
    }

    /// One `--listen`.
    public struct Listener: Sendable, Equatable {
        /// Where to listen.
        public var address: HostPort
        /// What the stream looks like.
        public var wire: Wire
        /// The order of batches.
        public var order: Order

        /// A listener.
        public init(address: HostPort, wire: Wire = .pcapng, order: Order? = nil) {
            self.address = address
            self.wire = wire
            self.order = order ?? (wire == .pcapng ? .newestFirst : .oldestFirst)
        }
    }

    /// How fast files are read.
    public enum Pace: Sendable, Equatable {
        /// As fast as they can be taken.
        case max
        /// As fast as they were recorded.
        case recorded
        case packetsPerSecond(UInt64)
        case bitsPerSecond(UInt64)
    }

    /// What is lost when the pool is full and nothing else helps.
    public enum OnFull: String, Sendable, CaseIterable {
        case dropOldest = "drop-oldest"
        case dropNewest = "drop-newest"
    }

    /// When what is on disk is sent.
    public enum Replay: String, Sendable, CaseIterable { case idle, eager, off }

    /// What of the cache survives a loss of power.
    public enum Sync: String, Sendable, CaseIterable { case none, interval, batch }

    /// What is kept in the cache though nobody is owed it.
    public enum Keep: Sendable, Equatable {
        /// What arrived within so many nanoseconds.
        case time(UInt64)
        /// So many bytes of the newest.
        case bytes(Int)
    }

    /// The spill cache.
    public struct Spill: Sendable, Equatable {
        /// Where it is.
        public var directory: String
        /// Bytes of all files together, and of one.
        public var bytes = 10 << 30, fileBytes = 256 << 20
        /// Nanoseconds after which what was not sent leaves memory.
        public var memoryAge: UInt64 = 5_000_000_000
        /// What survives a loss of power.
        public var sync = Sync.interval
        /// When it is sent.
        public var replay = Replay.idle
        /// Bytes per second at which it is sent to each destination; 0 for no limit.
        public var replayRate = 0
        /// Nanoseconds after which it is let go of, owed or not; nil for never.
        public var age: UInt64?
        /// Whether everything is written, and how long or how much of it is kept though nobody is owed it.
        public var keep: Keep?

        /// A cache in a directory.
        public init(directory: String) { self.directory = directory }
    }

    /// Which packets go to disk at once when not all can go towards TCP.
    public struct Admission: Sendable, Equatable {
        /// One packet in so many goes towards TCP; nil: the governor decides.
        public var fixed: UInt32?
        /// Whole conversations instead of packets.
        public var isByFlow = false
        /// A libpcap filter: what it does not match is never diverted.
        public var match: String?

        /// The defaults.
        public init() {}
    }

    /// The rung of the capture ladder.
    public enum CaptureMode: String, Sendable, CaseIterable {
        /// The best there is.
        case auto
        /// AF_XDP, the card writes into our memory.
        case zeroCopy = "xdp-zerocopy"
        /// AF_XDP, the kernel copies from the driver.
        case native = "xdp-native"
        /// AF_XDP, the kernel copies from the stack's buffers.
        case generic = "xdp-generic"
        /// A packet socket through libpcap.
        case afPacket = "af-packet"
    }

    /// What the host's stack sees of the packets.
    public enum Tap: String, Sendable, CaseIterable {
        /// Only what is meant for it alone: our connections and its neighbours' questions.
        case consume
        /// What the filter does not match.
        case selective
        /// Everything.
        case mirror
    }

    /// Where packets come from.
    public var inputs: [Input] = []
    /// The sensor's name, a label.
    public var name = "spillway"
    /// Every `--to`.
    public var destinations: [Destination] = []
    /// Every `--listen`.
    public var listeners: [Listener] = []
    /// Whether destinations can be added while the run goes on; places are kept for some then.
    public var canReload = false
    /// Who gets what.
    public var distribution = ShareBoard.Rule.everybody
    /// Nanoseconds after which the share of a destination that is down goes to others; 0 for never.
    public var reassignAfter: UInt64 = 30_000_000_000
    /// Longest pause in nanoseconds before connecting again; the first one is a tenth of a second, or this if it is shorter.
    public var retryLongest: UInt64 = 5_000_000_000
    /// Bytes written and not acknowledged, per destination.
    public var ackWindow = 4 << 20
    /// The file with the token shared with collectors.
    public var tokenFile: String?
    /// Addresses from which readers may connect; none for all.
    public var allow: [String] = []
    /// One capture file in capture order; `-` is standard output.
    public var outputFile: String?
    /// Capture filter in libpcap's language.
    public var filter: String?
    /// Bytes kept of each packet, 1 to 262144.
    public var snapLength: UInt32 = 262144
    /// Packets after which the run ends; nil for no limit.
    public var count: UInt64?
    /// Nanoseconds after which the run ends.
    public var duration: UInt64?
    /// How fast files are read.
    public var pace = Pace.max
    /// The rung of the capture ladder.
    public var capture = CaptureMode.auto
    /// nil: consume, but mirror on an interface that carries the default route.
    public var tap: Tap?
    /// Whether sockets are polled without pause, which takes a whole CPU for each.
    public var busyPoll = false
    /// The memory budget in bytes.
    public var memory = 512 << 20
    /// Bytes of a segment, a power of two.
    public var segmentSize = 2 << 20
    /// The pages segments lie on.
    public var hugepages = PageKind.auto
    /// nil: the node of the worker's CPU.
    public var numaNode: Int?
    /// CPUs of the capture threads; nil decides by what there is.
    public var captureCPUs: CPUSet?
    /// CPUs of the workers.
    public var workerCPUs: CPUSet?
    /// CPU of the egress thread.
    public var egressCPUs: CPUSet?
    /// CPU of the control thread.
    public var controlCPUs: CPUSet?
    /// When a batch closes.
    public var batch = BatchLimits()
    /// Fragments become datagrams.
    public var reassembles = true
    /// What becomes of datagrams whose fragments overlap.
    public var overlap = OverlapPolicy.drop
    /// Nanoseconds a fragment waits for the others of its datagram.
    public var fragmentTimeout: UInt64 = 30_000_000_000
    /// Bytes for fragments that wait, of all workers together. What `memory` gives where nothing else is asked for: 16 MiB, or
    /// a sixteenth of a smaller budget.
    public var fragmentMemory: Int {
        get { chosenFragmentMemory ?? min(16 << 20, max(memory / 16, ReassemblySettings.leastMemory)) }
        set { chosenFragmentMemory = newValue }
    }
    /// What was asked for, nil where `memory` decides.
    private(set) var chosenFragmentMemory: Int?
    /// Where batches go that memory cannot keep.
    public var spill: Spill?
    /// How much goes towards TCP when not everything can; needs a cache, and interfaces as input.
    public var admit = Admission()
    /// What is lost when the pool is full.
    public var onFull = OnFull.dropOldest
    /// Nanoseconds a run waits for destinations at its end.
    public var drainTimeout: UInt64 = 10_000_000_000
    /// A directory that is served beside the run; nil for none.
    public var serve: Serving?
    /// Where metrics are served; nil for nowhere.
    public var metrics: HostPort?
    /// Where the report goes; `-` is standard output.
    public var report: String?

    /// Whether packets may be diverted.
    var diverts: Bool { isLive && spill != nil && admit.fixed != 1 }

    /// The defaults.
    public init() {}
}
