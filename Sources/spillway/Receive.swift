import ArgumentParser
import Distribution
import Machine
import Options
import Relay
import Telemetry
import Tokens

/// `spillway receive`.
struct Receive: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Receive files that 'spillway send' sends.",
        usage: "spillway receive --listen ADDR:PORT --out DIR  [options]",
        discussion: """
            Files appear under their names in DIR only when they are whole and every
            piece of them is verified; until then they lie in DIR/.spillway, from where
            a broken transfer goes on. A file that is there already is replaced. Names
            never lead out of DIR. SIGINT and SIGTERM end it.
            Times take us ms s m h d.

            Examples:
              On the machine itself:
                spillway receive --listen 127.0.0.1:57013 --out files
              From senders that have the token, safe against power loss:
                spillway receive --listen [::] --out files --token-file token --sync
              One transfer:
                spillway receive --listen :57013 --out files --once --report -

            Exit codes:
              0   done                              71  the kernel refused
              64  usage                             73  cannot create output
              65  bad input data                    74  input or output error
              66  no such input                     77  not permitted
              69  another receiver has the directory
            """)

    @OptionGroup(title: "Receiving") var receiving: FileReceivingArguments
    @OptionGroup(title: "Watching and configuring") var result: ReportArguments

    func run() throws {
        try Surroundings.armCrashPoint()
        let settings = try Surroundings.options(of: "receive", given: given, config: result.config) {
            (settings) throws(OptionError) in try ReceiveSettings(settings)
        }
        let options = try ReceiveOptions(settings)
        let output = try settings.report.map { path throws(Failure) in try FileOutput(path) }
        let report: ReceiveReport
        do throws(ReceiveError) {
            report = try receive(options)
        } catch {
            throw Failure(error)
        }
        try output?.write(report.json.text() + "\n")
    }

    private func receive(_ options: ReceiveOptions) throws(ReceiveError) -> ReceiveReport {
        let console = Console.standard
        let signals: StopSignals
        do throws(SystemError) { signals = try StopSignals() } catch { throw .kernel(error) }
        let receiver = try FileReceiver(options)
        do throws(SystemError) { try signals.onStop { receiver.stop() } } catch { throw .kernel(error) }
        for endpoint in receiver.endpoints {
            console.say("spillway: receiving at \(endpoint) into \(options.directory)", waits: false)
        }
        return try receiver.run { line in console.say("spillway: \(line)", waits: false) }
    }
}
