import ArgumentParser
import Distribution
import Glibc
import Machine
import Options
import Relay
import Telemetry
import Tokens

/// `spillway send`.
struct Send: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send files and directories to many receivers at once.",
        usage: "spillway send FILE|DIR... --to HOST:PORT...  [options]",
        discussion: """
            Each file goes to all receivers ('spillway receive') at once, each at its own
            pace. Every piece of 1 MiB is verified; the root printed for a file is what
            b3sum prints. What breaks off is gone on with where it stopped, also by
            another 'spillway send' of the same files. A receiver without progress for
            the time of --timeout is given up; the others are not held up.
            Sizes take K M G T (powers of 1024), rates are such sizes per second, times
            us ms s m h d.

            Examples:
              A file to two receivers:
                spillway send disk.img --to 192.0.2.7:57013 --to 192.0.2.8:57013
              A directory, at most 100 MiB/s in all:
                spillway send captures --to a:57013 --to b:57013 --rate 100M
              To receivers that have the token:
                spillway send disk.img --to [2001:db8::7]:57013 --token-file token

            Exit codes:
              0   everybody has everything      71  the kernel refused
              64  usage                         73  a receiver refused a file
              65  bad input data                74  input or output error, a changed file
              66  no such file                  77  not permitted
              69  a receiver was not reached, or given up
            """)

    @Argument(help: ArgumentHelp("What to send.", valueName: "file|dir"))
    var paths: [String] = []

    @OptionGroup(title: "Sending") var sending: FileSendingArguments
    @OptionGroup(title: "Watching and configuring") var result: ReportArguments

    func run() throws {
        let settings = try Surroundings.options(of: "send", given: given, config: result.config) {
            (settings) throws(OptionError) in try SendSettings(settings)
        }
        guard !paths.isEmpty else { throw Failure(.usage, "nothing to send: name files\nSee 'spillway help send'.") }
        let options = try SendOptions(settings)
        let output = try settings.report.map { path throws(Failure) in try FileOutput(path) }
        let receivers = try settings.to.map { address throws(Failure) in try Self.resolve(address) }
        let report: SendReport
        do throws(SendError) {
            let isMinimum = settings.method == .minimum
            report = try isMinimum ? transferWithFewCalls(options, receivers) : transfer(options, receivers)
        } catch {
            throw Failure(error)
        }
        show(report)
        try output?.write(report.json.text() + "\n")
        let (code, lines) = report.verdict
        guard let code else { return }
        throw Failure(code, lines.joined(separator: "\nspillway: "))
    }

    private static func resolve(_ address: Address) throws(Failure) -> (name: String, endpoints: [Endpoint]) {
        // A numeric address needs no resolver, and no system call.
        if let endpoint = Endpoint(parsing: "\(address)") { return ("\(address)", [endpoint]) }
        do throws(ResolutionError) {
            return ("\(address)", try Endpoint.resolve(host: address.host, port: address.port))
        } catch {
            throw Failure(.unavailable, "--to \(address): \(error.reason)")
        }
    }

    private func transfer(
        _ options: SendOptions, _ receivers: [(name: String, endpoints: [Endpoint])]
    ) throws(SendError) -> SendReport {
        let console = Console.standard
        let signals: StopSignals
        do throws(SystemError) { signals = try StopSignals() } catch { throw .kernel(error) }
        let sender = try FileSender(options)
        for path in paths { try sender.add(path) }
        for receiver in receivers { sender.connect(to: receiver.name, receiver.endpoints) }
        sender.cancelling { signals.take() }
        if console.isTerminal { sender.onProgress { peers in console.show(peers.line) } }
        let report = sender.finish()
        console.show("")
        return report
    }

    /// The same with as few system calls as possible, which does not watch and is not watched.
    private func transferWithFewCalls(
        _ options: SendOptions, _ receivers: [(name: String, endpoints: [Endpoint])]
    ) throws(SendError) -> SendReport {
        let sender = try MinimumSender(paths, options)
        for receiver in receivers { sender.connect(to: receiver.name, receiver.endpoints[0]) }
        return sender.finish()
    }

    /// A root and a name as b3sum writes them, so that it can check them: a name with a line break is marked and escaped.
    private static func line(_ root: String, _ name: String) -> String {
        guard name.utf8.contains(where: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\\") }) else {
            return "\(root)  \(name)\n"
        }
        return "\\\(root)  \(name.replacing("\\", with: "\\\\").replacing("\n", with: "\\n"))\n"
    }

    /// The roots of the files, one write; what became of the receivers, another one.
    private func show(_ report: SendReport) {
        let roots = report.files.map { file in
            Self.line(file.root.map { "\($0)" } ?? String(repeating: "-", count: 64), file.name)
        }
        FileOutput.writeAll(Array(roots.joined().utf8), to: STDOUT_FILENO)
        for path in report.skipped {
            Console.standard.say("spillway: \(path): left out, being neither a file nor a directory")
        }
        Console.standard.say(report.peers.map { "spillway: \($0.summary)" }.joined(separator: "\n"))
    }
}
