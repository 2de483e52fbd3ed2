import ArgumentParser
import Generator
import Options
import Relay

/// `spillway generate`.
struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make numbered packets in the kernel and send them out of an interface.",
        usage: "spillway generate -i IFACE [--rate RATE] [--size SIZE] [--count N | --duration TIME]  [options]",
        discussion: """
            Each packet's payload begins with its number, 64 bits in network order, from 0 on; behind it the word \
            'spillway' repeats. Packet n belongs to flow n modulo the number of flows.
            Without --count and --duration it goes on until SIGINT or SIGTERM.
            Sizes are bytes of the Ethernet frame with tags and without frame check sequence; rates count frames and \
            their bits. Times take us ms s m h d.

            Examples:
              A hundred thousand packets a second for ten seconds, in 1000 flows:
                spillway generate -i veth0 --rate 100Kpps --duration 10s --flows 1000
              A gigabit of the usual mix of sizes, tagged twice:
                spillway generate -i veth0 --rate 1Gbps --size imix --vlan 100,200
              Connections of TCP over IPv6, as fast as possible:
                spillway generate -i veth0 --protocol tcp --ip 6 --size 82-1514 --flows 64
              Datagrams of 4000 bytes in fragments that come in any order:
                spillway generate -i veth0 -c 1000 --size 4000 --fragments shuffled

            Exit codes:
              0   done                              71  the kernel refused
              64  usage                             73  cannot create output
              65  bad input data                    74  input or output error
              66  no such input                     77  not permitted
            """)

    @OptionGroup(title: "What and how fast") var sending: SendingArguments
    @OptionGroup(title: "Packets") var packets: PacketArguments
    @OptionGroup(title: "Watching and configuring") var result: ReportArguments

    func run() throws {
        let options = try understood()
        let job = try Generator.Job(options)
        let output = try options.report.map { path throws(Failure) in try FileOutput(path) }
        let console = Console.standard
        let report: GeneratorReport
        do throws(GeneratorError) {
            var generator = try Generator(job)
            report = try generator.run { report in
                if console.isTerminal { console.show(report.progress(of: job)) }
            }
        } catch {
            throw Failure(error)
        }
        console.show("")
        console.say(report.summary)
        try output?.write(report.json(interface: job.interface) + "\n")
        if let problem = report.problem { throw Failure(problem) }
    }

    /// The options from all layers, checked.
    private func understood() throws(Failure) -> GenerateOptions {
        try Surroundings.options(of: "generate", given: given, config: result.config) {
            (settings) throws(OptionError) in try GenerateOptions(settings)
        }
    }
}
