import ArgumentParser
import Options
import Relay

/// `spillway run`.
struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take packets from interfaces or files and deliver them, newest first.",
        usage: "spillway run (-i IFACE)... | (-r FILE)...  [--to DEST]... [--listen ADDR]... [-w FILE]  [options]",
        discussion: """
            Sizes take K M G T (powers of 1024), times us ms s m h d, CPU lists the form 2-5,8.
            Results go to standard output, everything else to standard error.

            Examples:
              Relay a capture file to a reader such as 'nc -l 57012 > out.pcapng':
                spillway run -r capture.pcapng --to 192.0.2.7:57012
              Capture live, let 'tshark -i TCP@127.0.0.1:57012' watch, serve metrics:
                spillway run -i eth1 --listen 127.0.0.1:57012 --metrics 127.0.0.1:9100
              Two destinations, one of them a program that reads only classic pcap:
                spillway run -i eth1 --to 192.0.2.7:57012 --to arkime:4000,wire=pcap
              The web traffic of ten minutes into a file:
                spillway run -i eth1 -f 'tcp port 443' --duration 10m -w web.pcapng
              Read standard input at the pace of the recording, strictly newest first:
                spillway run -r - --pace recorded --batch-packets 1 --to 192.0.2.7:57012
              Everything in a file of options, one of them overruled (SIGHUP reads it again):
                spillway run --config /etc/spillway.yaml --memory 2G

            Exit codes:
              0   done                              71  the kernel refused
              64  usage                             73  cannot create output
              65  bad input data                    74  input or output error
              66  no such input                     77  not permitted
              69  a peer is not there
            """)

    @OptionGroup(title: "Input") var input: InputArguments
    @OptionGroup(title: "Output") var output: OutputArguments
    @OptionGroup(title: "Memory and batches") var memory: MemoryArguments
    @OptionGroup(title: "Spill cache") var cache: CacheArguments
    @OptionGroup(title: "Fragments") var fragments: FragmentArguments
    @OptionGroup(title: "Placement") var placement: PlacementArguments
    @OptionGroup(title: "Watching and configuring") var watching: WatchingArguments

    func run() throws {
        Relay.holdReload()
        try Surroundings.armCrashPoint()
        let options = try Self.understood(given, watching.config)
        try Self.refuseOverwritingInput(options)
        let report = try options.report.map { path throws(Failure) in try FileOutput(path) }
        let console = Console.standard
        let result: RunReport
        var relayConsole = RelayConsole(console)
        var relayOptions = RelayOptions(options)
        if Surroundings.hasConfiguration(RunOption.self, watching.config) {
            relayOptions.canReload = true
            let (given, config) = (given, watching.config)
            relayConsole.reload = { () throws(ReloadError) in
                if let reason = Surroundings.reasonNotToReload(RunOption.self, config) { throw ReloadError(reason) }
                do throws(Failure) {
                    var options = RelayOptions(try Self.understood(given, config))
                    options.canReload = true
                    return options
                } catch {
                    throw ReloadError(error.message)
                }
            }
        }
        do throws(RelayError) {
            result = try Relay.run(relayOptions, console: relayConsole)
        } catch {
            throw Failure(error)
        }
        console.show("")
        console.say(result.table())
        for problem in result.problems { console.say("spillway: \(problem)") }
        try report?.write(result.json() + "\n")
        throw ArgumentParser.ExitCode(result.exit.rawValue)
    }

    /// An output that is an input by another name (a link, another path) would be emptied before it is read.
    private static func refuseOverwritingInput(_ options: RunOptions) throws(Failure) {
        guard case .files(let files) = options.inputs else { return }
        for (option, output) in [("-w", options.write), ("--report", options.report)] {
            guard let output, let input = files.first(where: { Surroundings.isSameFile(output, $0) }) else { continue }
            throw Failure(.usage, "\(option) \(output): the same file as -r \(input); write to another one")
        }
    }

    /// The options from all layers, checked.
    private static func understood(_ given: [RunOption: [String]], _ config: String?) throws(Failure) -> RunOptions {
        try Surroundings.options(of: "run", given: given, config: config) { (settings) throws(OptionError) in
            try RunOptions(settings, hostName: Surroundings.hostName)
        }
    }
}
