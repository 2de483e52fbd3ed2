import ArgumentParser
import Distribution
import Glibc

/// The command line: one file per command.
@main
struct Spillway: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "spillway",
        abstract: "A packet sensor: packets in, newest first, out over TCP, in bounded memory.",
        discussion: """
            Examples:
              spillway run -r capture.pcapng --to 192.0.2.7:57012
              spillway run -i eth1 --listen 127.0.0.1:57012
              spillway collect --listen 127.0.0.1:57012 --out captures
              spillway generate -i veth0 --rate 100Kpps --duration 10s
              spillway mount /captures /mnt/live

            'spillway help COMMAND' has all options of a command, more examples and the exit codes.
            """,
        version: spillwayVersion,
        subcommands: [
            Run.self, Collect.self, Inspect.self, Replay.self, Send.self, Receive.self, Generate.self, Mount.self,
            Serve.self, FetchCommand.self,
            Keygen.self, Seal.self, Unseal.self,
        ])

    static func main() {
        // Before anything that takes memory by the number of arguments.
        if CommandLine.arguments.dropFirst().first == "send" { MinimumSender.prepareProcess() }
        Surroundings.occupyStandardDescriptors()
        // A file that must not grow any more (ulimit -f) is like a full disk: an error, not the end.
        signal(SIGXFSZ, SIG_IGN)
        do {
            let helper = MountHelper.arguments(CommandLine.arguments)
            if helper?.isEmpty == true { return }
            var command = try parseAsRoot(helper)
            try command.run()
        } catch let failure as Failure {
            Console.standard.say("spillway: \(failure.message)")
            Glibc.exit(failure.code)
        } catch {
            exit(withError: error)
        }
    }
}
