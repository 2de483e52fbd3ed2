import Options
import Testing

/// The options of a command line that has at least these.
func understood(_ values: [RunOption: [String]]) throws -> RunOptions {
    var all: [RunOption: [String]] = [.to: ["null"]]
    if values[.interface] == nil { all[.read] = ["a.pcap"] }
    all.merge(values) { _, new in new }
    return try RunOptions(Settings(commandLine: all, environment: [:]), hostName: "host")
}

@Suite("Options of a run")
struct RunOptionsTests {
    @Test("What is not given is nil, and the name is the host's")
    func defaults() throws {
        let options = try understood([:])
        #expect(options.inputs == .files(["a.pcap"]))
        #expect(options.name == "host")
        let placement = options.placement
        #expect(options.listeners.isEmpty && placement.capture == nil && placement.worker == nil)
        #expect(placement.egress == nil && placement.control == nil && placement.numaNode == nil)
        #expect(options.write == nil && options.filter == nil && options.snapLength == nil && options.count == nil)
        #expect(options.duration == nil && options.pace == nil && options.capture == nil && options.memory == nil)
        #expect(options.segmentSize == nil && options.hugepages == nil && options.batchSize == nil)
        #expect(options.batchTime == nil && options.batchPackets == nil && options.onFull == nil)
        #expect(options.drainTimeout == nil && options.metrics == nil && options.report == nil)
    }

    @Test("Every option reaches its place")
    func everything() throws {
        let options = try understood([
            .interface: ["eth0", "eth1"], .name: ["s1"],
            .to: ["null,name=sink", "h:1,wire=pcap,name=a", "i:2,ack=required"],
            .listen: ["127.0.0.1,order=oldest-first"], .write: ["-"], .distribute: ["round-robin"],
            .reassignAfter: ["1m"], .ackWindow: ["8M"], .tokenFile: ["t"], .allow: ["::/0", "10.0.0.0/8"],
            .filter: ["tcp port 80"], .snaplen: ["96"], .count: ["5"], .duration: ["1m"], .capture: ["af-packet"],
            .tap: ["mirror"], .busyPoll: ["true"], .memory: ["1G"], .segmentSize: ["4M"], .hugepages: ["1G"],
            .numaNode: ["1"],
            .captureCPUs: ["1"], .workerCPUs: ["2-3"], .egressCPUs: ["4"], .controlCPUs: ["0"], .batchSize: ["32K"],
            .batchTime: ["1ms"], .batchPackets: ["7"], .reassemble: ["off"], .overlap: ["bsd-right"],
            .fragmentTimeout: ["5s"], .fragmentMemory: ["1M"], .onFull: ["drop-newest"],
            .drainTimeout: ["0"], .metrics: ["127.0.0.1:9100"], .report: ["r.json"],
        ])
        #expect(options.inputs == .interfaces([.init("eth0"), .init("eth1")]))
        #expect(options.name == "s1")
        #expect(options.destinations.map(\.name) == ["sink", "a", "i:2"])
        #expect(options.destinations.map(\.address) == [nil, Address(host: "h", port: 1), Address(host: "i", port: 2)])
        #expect(options.destinations.map(\.ack) == [nil, nil, .required])
        #expect(options.distribute == .roundRobin && options.reassignAfter == 60_000_000_000)
        #expect(options.ackWindow == 8 << 20 && options.tokenFile == "t" && options.allow == ["::/0", "10.0.0.0/8"])
        #expect(options.listeners.map(\.address) == [Address(host: "127.0.0.1", port: 57012)])
        #expect(options.listeners.map(\.order) == [.oldestFirst])
        #expect(options.write == "-" && options.filter == "tcp port 80" && options.snapLength == 96)
        #expect(options.count == 5 && options.duration == 60_000_000_000 && options.capture == .afPacket)
        #expect(options.tap == .mirror && options.busyPoll == true)
        #expect(options.memory == 1 << 30 && options.segmentSize == 4 << 20 && options.hugepages == .huge1G)
        #expect(options.placement.capture == [1] && options.placement.worker == [2, 3])
        #expect(options.placement.egress == [4] && options.placement.control == [0])
        #expect(options.placement.numaNode == 1)
        #expect(options.batchSize == 32768 && options.batchTime == 1_000_000 && options.batchPackets == 7)
        #expect(options.reassemble == .off && options.overlap == .bsdRight)
        #expect(options.fragmentTimeout == 5_000_000_000 && options.fragmentMemory == 1 << 20)
        #expect(options.onFull == .dropNewest && options.drainTimeout == 0)
        #expect(options.metrics == Address(host: "127.0.0.1", port: 9100) && options.report == "r.json")
    }

    @Test("Snaplen 0 is the greatest, as in tcpdump; a node of auto is none")
    func specialValues() throws {
        #expect(try understood([.snaplen: ["0"]]).snapLength == 262_144)
        #expect(try understood([.numaNode: ["auto"]]).placement.numaNode == nil)
        #expect(try understood([.pace: ["10pps"]]).pace == .packetsPerSecond(10))
    }

    @Test("Of a value given twice the last counts")
    func repeated() throws {
        #expect(try understood([.memory: ["1M", "2M"]]).memory == 2 << 20)
    }

    @Test("Destinations: defaults and settings")
    func destinations() throws {
        let all = try understood([
            .to: [
                "192.0.2.7:57012", "null", "[2001:db8::7]:1,order=newest-first,wire=pcap-ns",
                "host:2,name=A.b_c-9,order=oldest-first",
            ]
        ]).destinations
        #expect(all.map(\.name) == ["192.0.2.7:57012", "null", "[2001:db8::7]:1", "A.b_c-9"])
        #expect(all.map(\.wire) == [.pcapng, .pcapng, .pcapNanoseconds, .pcapng])
        #expect(all.map(\.order) == [nil, nil, .newestFirst, .oldestFirst])
    }

    /// An option, a wrong value, and words that the error must have beside both.
    static let mistakes: [(RunOption, [String], [String])] = [
        (.memory, ["12Q"], ["--memory 12Q", "512M"]), (.memory, ["0"], ["--memory 0"]), (.memory, [""], ["--memory"]),
        (.segmentSize, ["3M"], ["--segment-size 3M", "2M"]), (.segmentSize, ["256K"], ["512K"]),
        (.segmentSize, ["64M"], ["32M"]), (.batchSize, ["255"], ["--batch-size 255", "256"]),
        (.batchSize, ["3M"], ["--batch-size 3M", "2097152"]), (.batchTime, ["0"], ["--batch-time 0"]),
        (.batchTime, ["5"], ["--batch-time 5:", "ms"]), (.batchPackets, ["0"], ["--batch-packets 0", "1"]),
        (.batchPackets, ["4294967296"], ["4294967295"]), (.count, ["0"], ["-c 0"]), (.count, ["1K"], ["-c 1K"]),
        (.snaplen, ["262145"], ["-s 262145", "262144"]), (.duration, ["0s"], ["--duration 0s"]),
        (.pace, ["5"], ["--pace 5", "recorded"]), (.hugepages, ["4K"], ["--hugepages 4K", "auto, 2M, 1G, off"]),
        (.numaNode, ["x"], ["--numa-node x", "auto"]), (.numaNode, ["1024"], ["1024"]),
        (.captureCPUs, ["z"], ["--capture-cpus z", "2-5,8"]), (.workerCPUs, ["2-"], ["--worker-cpus 2-"]),
        (.egressCPUs, ["9999"], ["--egress-cpus 9999"]), (.controlCPUs, ["-"], ["--control-cpus -"]),
        (.tap, ["steal"], ["--tap steal", "consume, selective, mirror"]),
        (.busyPoll, ["on"], ["--busy-poll on", "true or false"]),
        (.onFull, ["drop"], ["--on-full drop", "drop-oldest, drop-newest"]),
        (.drainTimeout, ["10"], ["--drain-timeout 10", "30s"]), (.metrics, ["9100"], ["--metrics 9100", "ADDR:PORT"]),
        (.name, ["a b"], ["--name a b", "64"]), (.name, [".x"], ["--name .x"]),
        (.distribute, ["hash"], ["--distribute hash", "replicate", "flow"]),
        (.reassemble, ["yes"], ["--reassemble yes", "on", "off"]), (.overlap, ["mac"], ["--overlap mac", "bsd-right"]),
        (.fragmentTimeout, ["0"], ["--fragment-timeout 0", "30s"]),
        (.fragmentMemory, ["255K"], ["--fragment-memory 255K", "262144"]), (.write, [""], ["-w", "path"]),
        (.report, [""], ["--report", "path"]), (.read, [""], ["-r", "path"]),
        (.read, ["-", "-"], ["-r -", "twice"]), (.interface, ["a b"], ["-i a b", "name"]),
        (.interface, ["eth0", "eth0"], ["-i eth0", "twice"]),
        (.to, ["h"], ["--to h", "HOST:PORT"]), (.to, ["h:1,wire=erf"], ["wire=erf", "pcapng, pcap, pcap-ns"]),
        (.to, ["h:1,order=random"], ["order=random", "newest-first, oldest-first"]),
        (.to, ["h:1,name=.a"], [".a", "64"]), (.to, ["h:1,name="], ["--to h:1,name="]),
        (.to, ["h:1,ack=maybe"], ["ack=maybe", "auto, required, none"]),
        (.to, ["h:1,wire=pcap,ack=auto"], ["wire=pcap", "ack=auto"]), (.to, ["h:1,acks=no"], ["'acks'", "ack"]),
        (.ackWindow, ["1K"], ["--ack-window 1K", "65536"]), (.tokenFile, ["-"], ["--token-file -", "path"]),
        (.reassignAfter, ["5"], ["--reassign-after 5", "30s"]), (.to, ["h:1,"], ["KEY=VALUE"]),
        (.to, ["h:1,name=a,name=b"], ["name", "twice"]), (.to, ["null,wire=pcap"], ["'wire'", "name"]),
        (.to, ["h:1", "h:1"], ["--to h:1", "name=N"]), (.to, ["h:1,name=x", "i:2,name=x"], ["'x'", "name=N"]),
        (.to, ["null", "null"], ["--to null", "name=N"]), (.listen, ["57012"], ["--listen 57012", "ADDR:PORT"]),
        (.listen, ["[::1]:1,name=x"], ["'name'", "wire, order"]),
        (.listen, ["127.0.0.1", "127.0.0.1:57012"], ["--listen 127.0.0.1:57012", "already"]),
    ]

    @Test("A wrong value is named with its option and with what would be right", arguments: mistakes)
    func mistake(option: RunOption, values: [String], words: [String]) {
        let error = #expect(throws: OptionError.self) { _ = try understood([option: values]) }
        #expect(error?.kind == .usage)
        for word in words { #expect(error?.description.contains(word) == true, "\(word) in \(error as Any)") }
        #expect(error?.description.contains("\n") == false)
    }

    @Test(
        "Combinations that make no sense are refused",
        arguments: [
            ([.interface: ["eth0"], .read: ["a"], .to: ["null"]], ["-i eth0", "-r a", "not both"]),
            ([.to: ["null"]], ["no input", "-i", "-r"]), ([.read: ["a"]], ["no output", "--to", "--listen", "-w"]),
            ([.read: ["a"], .write: ["-"], .report: ["-"]], ["-w -", "--report -"]),
            ([.read: ["a"], .write: ["b"], .report: ["b"]], ["-w b", "--report b"]),
            ([.read: ["a"], .write: ["a"]], ["-w a", "read"]),
            ([.read: ["a"], .to: ["null"], .report: ["a"]], ["--report a", "read"]),
            ([.read: ["a"], .to: ["null"], .allow: ["::/0"]], ["--allow ::/0", "--listen"]),
            ([.read: ["a"], .to: ["null"], .distribute: ["round-robin"]], ["--distribute round-robin", "--to"]),
            ([.read: ["a"], .to: ["null"], .tap: ["mirror"]], ["--tap mirror", "-i"]),
            ([.read: ["a"], .to: ["null"], .capture: ["auto"]], ["--capture auto", "-i"]),
            ([.interface: ["e"], .to: ["null"], .pace: ["max"]], ["--pace max", "-r"]),
            (
                [.interface: ["e"], .to: ["null"], .capture: ["af-packet"], .tap: ["consume"]],
                ["af-packet", "--tap consume"]
            ),
            (
                [.interface: ["e"], .to: ["null"], .capture: ["af-packet"], .tap: ["selective"], .filter: ["udp"]],
                ["af-packet", "--tap selective"]
            ),
            ([.interface: ["e"], .to: ["null"], .tap: ["selective"]], ["--tap selective", "-f"]),
            ([.read: ["a"], .to: ["null"], .busyPoll: ["true"]], ["--busy-poll", "-i"]),
            (
                [.interface: ["e"], .to: ["null"], .capture: ["xdp-native"], .tap: ["mirror"]],
                ["xdp-native", "mirror"]
            ),
        ] as [([RunOption: [String]], [String])])
    func combination(values: [RunOption: [String]], words: [String]) {
        let error = #expect(throws: OptionError.self) {
            _ = try RunOptions(Settings(commandLine: values, environment: [:]), hostName: "host")
        }
        for word in words { #expect(error?.description.contains(word) == true, "\(word) in \(error as Any)") }
    }

    @Test("Receive queues stand behind the interface")
    func queues() throws {
        let options = try understood([.interface: ["eth0@5,0-2", "eth1"], .to: ["null"]])
        #expect(options.inputs == .interfaces([.init("eth0", queues: [0, 1, 2, 5]), .init("eth1")]))
        for wrong in ["eth0@", "eth0@a", "eth0@1-", "@1", "eth0@1024", "eth0@3-1"] {
            let error = #expect(throws: OptionError.self) { _ = try understood([.interface: [wrong], .to: ["null"]]) }
            #expect(error?.description.contains("-i \(wrong)") == true, "\(error as Any)")
        }
        #expect(throws: OptionError.self) { _ = try understood([.interface: ["e@0", "e@1"], .to: ["null"]]) }
    }

    @Test("Standard input may be read while a file or standard output is written")
    func standardStreams() throws {
        let options = try understood([.read: ["-"], .write: ["-"], .report: ["r"]])
        #expect(options.inputs == .files(["-"]) && options.write == "-")
    }

    @Test("Each output alone is enough", arguments: [RunOption.to, .listen, .write])
    func oneOutput(option: RunOption) throws {
        let values: [RunOption: [String]] = [.read: ["a"], option: [option == .to ? "null" : "localhost:1"]]
        _ = try RunOptions(Settings(commandLine: values, environment: [:]), hostName: "host")
    }
}
