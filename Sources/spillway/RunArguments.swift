import ArgumentParser
import Options

// The options of `spillway run`, in the groups in which the help shows them. Values are taken as text here; the
// Options module understands them, wherever they were written.

struct InputArguments: ParsableArguments {
    @Option(
        name: [.customShort("i", allowingJoined: true), .customLong("interface")],
        help: ArgumentHelp(
            "Capture on this interface, or on some of its receive queues (several allowed).",
            valueName: "iface[@queues]"))
    var interface: [String] = []

    @Option(
        name: [.customShort("r", allowingJoined: true), .customLong("read")],
        help: ArgumentHelp("Read this capture file, - is standard input (several allowed).", valueName: "file"))
    var read: [String] = []

    @Option(help: ArgumentHelp("The sensor's name (default: the host's name).", valueName: "name"))
    var name: String?

    @Option(
        name: [.customShort("f", allowingJoined: true), .customLong("filter")],
        help: ArgumentHelp("Take only packets that match this libpcap filter.", valueName: "expr"))
    var filter: String?

    @Option(
        name: [.customShort("s", allowingJoined: true), .customLong("snaplen")],
        help: ArgumentHelp("Keep this many bytes of each packet (default: 262144).", valueName: "bytes"))
    var snaplen: String?

    @Option(
        name: [.customShort("c", allowingJoined: true), .customLong("count")],
        help: ArgumentHelp("End after this many packets.", valueName: "packets"))
    var count: String?

    @Option(help: ArgumentHelp("End after this time.", valueName: "time"))
    var duration: String?

    @Option(
        help: ArgumentHelp(
            "How fast files are read: max, recorded, or a rate such as 100Kpps or 2.5Gbps (default: max).",
            valueName: "pace"))
    var pace: String?

    @Option(
        help: ArgumentHelp(
            """
            How packets are captured: auto, the best there is, or one of xdp-zerocopy, xdp-native, xdp-generic, \
            af-packet (default: auto).
            """, valueName: "mode"))
    var capture: String?

    @Option(
        help: ArgumentHelp(
            """
            What the host's stack sees: consume, only what is meant for it alone; selective, what the filter (-f) does \
            not match; mirror, everything (default: consume, but mirror on loopback and on an interface that carries \
            the default route).
            """, valueName: "mode"))
    var tap: String?

    @Flag(
        name: .customLong("busy-poll"),
        help: "Fetch packets from the card without pause and without interrupts, which takes a whole CPU per queue.")
    var busyPoll = false
}

struct OutputArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Send to this destination (several allowed): \
            HOST:PORT[,name=N][,wire=pcapng|pcap|pcap-ns][,order=newest-first|oldest-first][,ack=auto|required|none]\
            [,share=S][,backlog=now|all], or null, which counts and discards. With pcap and pcap-ns the order is \
            oldest-first unless given. ack=auto (default) lets a collector acknowledge that greets within 500 ms; required \
            sends to no other. share=2 gets twice as much as share=1 (default), where destinations share. backlog=all: \
            one that was not there before also gets what the run still holds, and what is in the cache.
            """, valueName: "dest"))
    var to: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            Let readers connect (several allowed): \
            ADDR[:PORT][,wire=...][,order=...], port 57012 by default, loopback for :PORT.
            """, valueName: "addr"))
    var listen: [String] = []

    @Option(
        name: .customLong("ack-window"),
        help: ArgumentHelp(
            "Bytes sent to a destination and not acknowledged by it, at most (default: 4M).", valueName: "size"))
    var ackWindow: String?

    @Option(
        name: .customLong("token-file"),
        help: ArgumentHelp(
            "A file of 32 random bytes that collectors have, too; send to nobody else. Makes ack=auto ack=required.",
            valueName: "file"))
    var tokenFile: String?

    @Option(
        help: ArgumentHelp(
            "Let readers connect to --listen from these addresses only (several allowed): ADDR or ADDR/BITS.",
            valueName: "cidr"))
    var allow: [String] = []

    @Option(
        name: [.customShort("w", allowingJoined: true), .customLong("write")],
        help: ArgumentHelp("Write one capture file in capture order, - is standard output.", valueName: "file"))
    var write: String?

    @Option(
        help: ArgumentHelp(
            """
            Who gets what: replicate, everything to each --to (default); round-robin, each batch to one that is up; \
            flow, everything between two addresses always to the same one, which it waits for.
            """, valueName: "how"))
    var distribute: String?

    @Option(
        name: .customLong("reassign-after"),
        help: ArgumentHelp(
            "When the share of a destination that is down goes to others, where they share (default: 30s, 0 for never).",
            valueName: "time"))
    var reassignAfter: String?

    @Option(
        help: ArgumentHelp(
            """
            With --spill: how much goes towards TCP when packets come faster than it takes them; the rest goes to disk at \
            once and is sent later. auto, or one packet in n, 1 for everything (default: auto).
            """, valueName: "n"))
    var admit: String?

    @Option(
        name: .customLong("admit-by"),
        help: ArgumentHelp(
            "What is led to disk then: packets one by one (default), or by flow, whole conversations.",
            valueName: "what"))
    var admitBy: String?

    @Option(
        name: .customLong("admit-match"),
        help: ArgumentHelp("Lead to disk only what this libpcap filter matches, such as udp.", valueName: "expr"))
    var admitMatch: String?

    @Option(
        name: .customLong("on-full"),
        help: ArgumentHelp(
            "What is lost when memory is full: drop-oldest or drop-newest (default: drop-oldest).", valueName: "what"))
    var onFull: String?

    @Option(
        name: .customLong("drain-timeout"),
        help: ArgumentHelp(
            "How long the end of a run waits for destinations that make no progress (default: 10s).", valueName: "time")
    )
    var drainTimeout: String?
}

struct MemoryArguments: ParsableArguments {
    @Option(help: ArgumentHelp("The memory budget, all of it taken at start (default: 512M).", valueName: "size"))
    var memory: String?

    @Option(
        name: .customLong("segment-size"),
        help: ArgumentHelp("The unit of memory, a power of two from 512K to 32M (default: 2M).", valueName: "size"))
    var segmentSize: String?

    @Option(help: ArgumentHelp("Pages of the memory: auto, 2M, 1G or off (default: auto).", valueName: "pages"))
    var hugepages: String?

    @Option(
        name: .customLong("batch-size"),
        help: ArgumentHelp("Close a batch at this size (default: 64K).", valueName: "size"))
    var batchSize: String?

    @Option(
        name: .customLong("batch-time"),
        help: ArgumentHelp("Close a batch at this age (default: 5ms).", valueName: "time"))
    var batchTime: String?

    @Option(
        name: .customLong("batch-packets"),
        help: ArgumentHelp("Close a batch at this many packets; 1 is strictly newest first.", valueName: "n"))
    var batchPackets: String?
}

struct CacheArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Keep in this directory what memory cannot hold until it is delivered, over restarts.", valueName: "dir"))
    var spill: String?

    @Option(
        name: .customLong("spill-size"),
        help: ArgumentHelp("Bytes of all cache files together (default: 10G).", valueName: "size"))
    var spillSize: String?

    @Option(
        name: .customLong("spill-file-size"),
        help: ArgumentHelp(
            "Seal a cache file at this size (default: 256M, at most an eighth of --spill-size).", valueName: "size"))
    var spillFileSize: String?

    @Option(
        name: .customLong("spill-age"),
        help: ArgumentHelp("Let go of cache files whose packets came so long ago (default: never).", valueName: "time"))
    var spillAge: String?

    @Option(
        help: ArgumentHelp(
            "Write everything to the cache, and keep it for a time or up to a size, delivered or not (default: off).",
            valueName: "time|size"))
    var keep: String?

    @Option(
        name: .customLong("replay-rate"),
        help: ArgumentHelp(
            "Bytes per second sent from disk to each destination, at most (default: no limit).", valueName: "size"))
    var replayRate: String?

    @Option(
        name: .customLong("memory-age"),
        help: ArgumentHelp("Move to disk what was not sent for so long (default: 5s).", valueName: "time"))
    var memoryAge: String?

    @Option(
        help: ArgumentHelp(
            "What of the cache is synced: none, interval (once a second), or batch, each write (default: interval).",
            valueName: "when"))
    var sync: String?

    @Option(
        help: ArgumentHelp(
            """
            When what is on disk is sent: idle, while memory has nothing for the destination; eager, whichever is newer; \
            off (default: idle).
            """, valueName: "when"))
    var replay: String?
}

struct FragmentArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp("Whether IP fragments are put together: on or off (default: on).", valueName: "how"))
    var reassemble: String?

    @Option(
        help: ArgumentHelp(
            """
            What becomes of a datagram whose fragments overlap: drop, its fragments go on as they came (default), or \
            who wins: first, last, bsd, bsd-right, linux, windows or solaris.
            """, valueName: "policy"))
    var overlap: String?

    @Option(
        name: .customLong("fragment-timeout"),
        help: ArgumentHelp(
            "How long a fragment waits for the others, by packet time (default: 30s).", valueName: "time"))
    var fragmentTimeout: String?

    @Option(
        name: .customLong("fragment-memory"),
        help: ArgumentHelp(
            "Memory for fragments that wait (default: 16M, at most a sixteenth of --memory).", valueName: "size"))
    var fragmentMemory: String?
}

struct PlacementArguments: ParsableArguments {
    @Option(
        name: .customLong("capture-cpus"), help: ArgumentHelp("CPUs of capture, such as 2-5,8.", valueName: "list"))
    var captureCPUs: String?

    @Option(name: .customLong("worker-cpus"), help: ArgumentHelp("CPUs of the worker.", valueName: "list"))
    var workerCPUs: String?

    @Option(name: .customLong("egress-cpus"), help: ArgumentHelp("CPUs of egress.", valueName: "list"))
    var egressCPUs: String?

    @Option(name: .customLong("control-cpus"), help: ArgumentHelp("CPUs of everything else.", valueName: "list"))
    var controlCPUs: String?

    @Option(
        name: .customLong("numa-node"),
        help: ArgumentHelp(
            "NUMA node of the memory: auto, the worker's, or a number (default: auto).", valueName: "node"))
    var numaNode: String?
}

struct WatchingArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Serve a directory over HTTP beside the run, on the control CPUs, as 'spillway serve' does with its defaults: \
            ADDR:PORT[,dir=DIR] (default: the directory of --spill).
            """, valueName: "addr"))
    var serve: String?

    @Option(help: ArgumentHelp("Serve OpenMetrics text over HTTP on ADDR:PORT.", valueName: "addr"))
    var metrics: String?

    @Option(help: ArgumentHelp("Write the final figures as JSON, - is standard output.", valueName: "file"))
    var report: String?

    @Option(
        help: ArgumentHelp(
            "Read options from this YAML file, keyed by their long names. The command line wins over the environment "
                + "(SPILLWAY_MEMORY, ...), the environment over the file. SIGHUP reads it again: destinations come and "
                + "go by name=, and --ack-window, --reassign-after, --drain-timeout and --allow change.",
            valueName: "file"))
    var config: String?
}
