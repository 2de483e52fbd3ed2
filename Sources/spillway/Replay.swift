import ArgumentParser
import Machine
import Options
import Relay
import Replay
import SpillCache
import Telemetry

/// `spillway replay`.
struct Replay: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send the packets of capture files or of a cache once more: onto a wire, or to destinations.",
        usage: "spillway replay FILE|DIR... (-i IFACE | --to HOST:PORT)  [options]",
        discussion: """
            Onto a wire packets go as they were recorded, or at a pace of their own. When each is
            due is counted from one point in time, so that nothing adds up. Packets that the
            interface cannot take are left out and counted; those cut when they were captured
            go out as short as they are. A cache goes out in the order of time; it is first sorted into
            a file without a name in TMPDIR, which must have room for all of it.
            To destinations capture files go as with 'spillway run -r', or, to plain readers
            (ack=none) and if they are pcapng, as they are. Batches of a cache go as
            they are, newest first; those that a collector has are left out. The cache may be in
            use, and nothing counts as delivered in it. Give the --name and the name= under which
            its relay delivers there.
            Times take us ms s m h d; rates K M G are powers of 1000.

            Examples:
              As it was recorded:
                spillway replay capture.pcapng -i veth0
              Ten times as fast, and again and again:
                spillway replay capture.pcapng -i veth0 --pace 10x --loop 0
              What a cache has, in the order of time:
                spillway replay /var/lib/spillway -i veth0
              As fast as the interface takes it:
                spillway replay a.pcap b.pcap -i veth0 --pace top
              To a collector:
                spillway replay capture.pcapng --to 192.0.2.7:57012,ack=required
              What a cache has, to a collector that may have some of it:
                spillway replay /var/lib/spillway --to 192.0.2.7:57012,name=main

            Exit codes:
              0   done                              71  the kernel refused
              64  usage                             73  cannot create output
              65  bad input data                    74  input or output error
              66  no such input or interface        77  not permitted
              69  a destination is not there
            """)

    @Argument(
        help: ArgumentHelp(
            "Capture files, - for standard input, or the directory of a cache.", valueName: "file"))
    var inputs: [String] = []

    @OptionGroup(title: "Onto a wire") var wire: WireArguments
    @OptionGroup(title: "To destinations") var stream: StreamArguments
    @OptionGroup(title: "Watching and configuring") var result: ReportArguments

    func run() throws {
        let options = try Surroundings.options(of: "replay", given: given, config: result.config) {
            (settings) throws(OptionError) in try ReplayOptions(settings, inputs: inputs)
        }
        try Self.refuseMissing(options)
        let report = try options.report.map { path throws(Failure) in try FileOutput(path) }
        let directories = options.inputs.filter(Surroundings.isDirectory)
        switch options.target {
        case .interface(let interface):
            guard let directory = directories.first else { return try play(options, interface, report) }
            guard options.inputs.count == 1 else {
                throw Failure(.usage, "\(directory): a cache is replayed alone; leave the other inputs out")
            }
            try play(cache: directory, options, interface, report)
        case .destinations(let destinations):
            if let directory = directories.first {
                guard options.inputs.count == 1 else {
                    throw Failure(.usage, "\(directory): a cache is replayed alone; leave the other inputs out")
                }
                return try send(cache: directory, options, destinations, report)
            }
            if try sendWhole(options, destinations, report) { return }
            try send(options, destinations, report)
        }
    }

    /// What cannot be read is better known before anything is sent.
    private static func refuseMissing(_ options: ReplayOptions) throws(Failure) {
        for input in options.inputs where input != "-" {
            if let error = Surroundings.reasonNotToRead(input) { throw Failure(reading: error) }
            if let report = options.report, Surroundings.isSameFile(report, input) {
                throw Failure(.usage, "--report \(report): the same file as \(input); write to another one")
            }
        }
    }

    /// Puts the packets of a cache on the wire.
    private func play(
        cache: String, _ options: ReplayOptions, _ interface: String, _ output: FileOutput?
    ) throws(Failure) {
        let sorted: SortedCache
        do throws(SystemError) {
            sorted = try SortedCache(
                cache, in: Surroundings.environment["TMPDIR"] ?? "/var/tmp",
                application: "spillway \(spillwayVersion) replay")
        } catch {
            throw Failure(writing: error)
        }
        guard sorted.report.packets > 0 || sorted.problem(of: cache) != nil else {
            throw Failure(.noInput, "\(cache): no packets of a cache in it")
        }
        var options = options
        options.inputs = [sorted.path]
        try play(options, interface, output, problem: sorted.problem(of: cache))
    }

    private func play(
        _ options: ReplayOptions, _ interface: String, _ output: FileOutput?, problem: String? = nil
    ) throws(Failure) {
        let console = Console.standard
        func say(_ result: WireReplayReport) throws(Failure) {
            console.show("")
            for line in result.lines { console.say(line) }
            try output?.write(result.json.text() + "\n")
        }
        var replay: WireReplay
        do throws(TransmitError) {
            replay = try WireReplay(WireReplay.Job(options, interface: interface)) { report in
                if console.isTerminal { console.show(report.lines[0]) }
            }
        } catch {
            throw Failure(error)
        }
        console.say("spillway: sending out of \(interface) by \(replay.mode.rawValue)")
        var result: WireReplayReport
        do throws(TransmitError) { result = try replay.run() } catch {
            try say(replay.report)
            throw Failure(error)
        }
        if let problem { result.problems.append(problem) }
        try say(result)
        if !result.problems.isEmpty { throw Failure(.badData, result.problems.joined(separator: "\nspillway: ")) }
    }

    private func send(
        _ options: ReplayOptions, _ destinations: [Destination], _ output: FileOutput?
    ) throws {
        let console = Console.standard
        let result: RunReport
        let run = try RelayOptions(options, destinations)
        do throws(RelayError) {
            result = try Relay.run(run, console: RelayConsole(console))
        } catch {
            throw Failure(error)
        }
        console.show("")
        console.say(result.table())
        for problem in result.problems { console.say("spillway: \(problem)") }
        try output?.write(result.json() + "\n")
        throw ArgumentParser.ExitCode(result.exit.rawValue)
    }
}
