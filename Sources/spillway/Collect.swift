import ArgumentParser
import Collector
import Machine
import Options
import Relay
import Tokens

/// `spillway collect`.
struct Collect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take deliveries of relays and make time-ordered capture files of them.",
        usage: "spillway collect --listen ADDR:PORT --out DIR  [options]",
        discussion: """
            Relays deliver to it as to any other destination of 'spillway run'. Each
            batch is acknowledged when it is in the journal in DIR/.spillway, and is in
            exactly one file in the end, whatever breaks meanwhile. Files are named
            SENSOR-LINKTYPE-START.pcapng; what comes late for a span whose file is
            finished makes a further part, SENSOR-LINKTYPE-START.part2.pcapng. Files
            appear whole, under their names, in time order.
            SIGINT and SIGTERM finish all files; a second signal leaves the rest to the
            next start.
            Sizes take K M G T (powers of 1024), times us ms s m h d.

            Examples:
              On the machine itself:
                spillway collect --listen 127.0.0.1:57012 --out captures
              For sensors that have the token, safe against power loss:
                spillway collect --listen [::] --token-file token --ack durable --out d
              Files of an hour, or of a gigabyte:
                spillway collect --listen :57012 --out d --rotate-time 1h --rotate-size 1G

            Exit codes:
              0   done                              71  the kernel refused
              64  usage                             73  cannot create output
              65  bad input data                    74  input or output error
              66  no such input                     77  not permitted
              69  another collector has the directory
            """)

    @OptionGroup(title: "Receiving") var receiving: ReceivingArguments
    @OptionGroup(title: "Files") var files: FilesArguments
    @OptionGroup(title: "Watching and configuring") var watching: CollectWatchingArguments
    @OptionGroup(title: "Watching and configuring") var result: ReportArguments

    func run() throws {
        let settings = try understood()
        let options = try CollectorOptions(settings)
        try Surroundings.armCrashPoint()
        let report = try settings.report.map { path throws(Failure) in try FileOutput(path) }
        let console = Console.standard
        let result: CollectorReport
        do throws(CollectorError) {
            result = try Collector.run(options, console: CollectorConsole(console)) { endpoints in
                for endpoint in endpoints {
                    console.say("spillway: collecting at \(endpoint) into \(options.directory)", waits: false)
                }
            }
        } catch {
            console.show("")
            throw Failure(error)
        }
        console.show("")
        console.say(result.table())
        for problem in result.problems { console.say("spillway: \(problem)") }
        try report?.write(result.json() + "\n")
        if result.unfinishedPackets > 0 { throw ArgumentParser.ExitCode(Failure.Code.inputOutput.rawValue) }
    }

    /// The options from all layers, checked.
    private func understood() throws(Failure) -> CollectOptions {
        try Surroundings.options(of: "collect", given: given, config: result.config) {
            (settings) throws(OptionError) in try CollectOptions(settings)
        }
    }
}

extension CollectorConsole {
    /// Lines and status of a collector on this console.
    init(_ console: Console) {
        let show: @Sendable (String) -> Void = { console.show($0) }
        self.init(log: { console.say($0, waits: false) }, progress: console.isTerminal ? show : nil)
    }
}
