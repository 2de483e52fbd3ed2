/// Every option of `spillway run` that has a value, by its long name. The same name is a key of the configuration file,
/// and, in capitals behind `SPILLWAY_`, an environment variable.
public enum RunOption: String, CommandOption {
    case interface, read
    case name, to, listen, write, distribute
    case reassignAfter = "reassign-after"
    case ackWindow = "ack-window"
    case tokenFile = "token-file"
    case allow
    case filter, snaplen, count, duration, pace, capture, tap
    case busyPoll = "busy-poll"
    case memory
    case segmentSize = "segment-size"
    case hugepages
    case numaNode = "numa-node"
    case captureCPUs = "capture-cpus"
    case workerCPUs = "worker-cpus"
    case egressCPUs = "egress-cpus"
    case controlCPUs = "control-cpus"
    case batchSize = "batch-size"
    case batchTime = "batch-time"
    case batchPackets = "batch-packets"
    case reassemble, overlap
    case fragmentTimeout = "fragment-timeout"
    case fragmentMemory = "fragment-memory"
    case admit
    case admitBy = "admit-by"
    case admitMatch = "admit-match"
    case onFull = "on-full"
    case spill
    case spillSize = "spill-size"
    case spillFileSize = "spill-file-size"
    case memoryAge = "memory-age"
    case spillAge = "spill-age"
    case keep, sync, replay
    case replayRate = "replay-rate"
    case drainTimeout = "drain-timeout"
    case serve, metrics, report

    /// Whether it may be given several times; a list in the configuration file, separated by blanks in the environment.
    public var isRepeatable: Bool {
        switch self {
        case .interface, .read, .to, .listen, .allow: true
        default: false
        }
    }

    /// As people know it on the command line: options of the field by their letter.
    public var spelling: String {
        switch self {
        case .interface: "-i"
        case .read: "-r"
        case .write: "-w"
        case .filter: "-f"
        case .snaplen: "-s"
        case .count: "-c"
        default: "--\(rawValue)"
        }
    }

    /// A run reads interfaces or files.
    public static var oneChoice: Set<RunOption> { [.interface, .read] }
}
