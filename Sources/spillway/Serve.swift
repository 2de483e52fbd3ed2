import ArgumentParser
import FileService
import Machine
import Options
import Relay
import Telemetry

/// `spillway serve`.
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve a directory of captures over HTTP, without copying them.",
        usage: "spillway serve DIR --listen ADDR:PORT ...  [options]",
        discussion: """
            GET and HEAD with ranges, conditions, keep-alive and pipelining; a directory is a page, or JSON for who accepts \
            application/json. Names that begin with a dot, and what lies outside the directory, do not exist.

            FILE?follow=1      the file while it grows, until it is renamed or removed; follow=close also
                               ends when its writer closes it
            DIR/?from=TIME&to=TIME&filter=EXPR
                               the packets of all captures in a directory as one pcapng; TIME is seconds
                               since 1970, 2026-11-21T10:00:00Z, or -5m; EXPR is a pcap filter
            FILE?link=SECONDS  with a token: a link to the file that needs none and expires

            Examples:
              Captures for everybody on this machine:
                spillway serve /var/captures --listen 127.0.0.1:8080
              For whoever knows the token, at most a gigabit per second for each of them:
                spillway serve /var/captures --listen [::]:8080 --client-rate 1Gbps --config /etc/spillway/serve.yaml
              What happened in the last five minutes on port 53:
                curl -o dns.pcapng 'http://127.0.0.1:8080/?from=-5m&filter=port+53'

            Exit codes:
              0   done                              71  the kernel refused
              64  usage                             73  cannot create output
              65  bad input data                    74  input or output error
              66  no such directory                 77  not permitted
              69  an address cannot be listened on
            """)

    @OptionGroup(title: "What is served, and how") var serving: ServingArguments
    @OptionGroup(title: "Clients") var clients: ClientArguments
    @OptionGroup(title: "Watching and configuring") var watching: ServeWatchingArguments
    @OptionGroup(title: "Watching and configuring") var result: ReportArguments

    func run() throws {
        let options = try understood()
        let output = try options.report.map { path throws(Failure) in try FileOutput(path) }
        // Before any thread is there, so that all of them have the signals blocked.
        let signals: StopSignals
        do throws(SystemError) { signals = try StopSignals() } catch { throw Failure(.kernel, "\(error)") }
        let plan = try ServicePlan(serving.directory, options)
        let server: FileServer
        do throws(FileServer.Fault) { server = try FileServer(plan) } catch { throw Failure(error) }
        try startMetrics(options.metrics, server)
        let console = Console.standard
        for endpoint in server.endpoints { console.say("serving \(serving.directory) on http://\(endpoint)/") }
        _ = signals.wait()
        server.drain()
        while !server.hasEnded {
            if signals.wait(nanoseconds: 20_000_000) { server.stopAtOnce() }
        }
        try output?.write(server.report() + "\n")
    }

    private func startMetrics(_ address: Address?, _ server: FileServer) throws(Failure) {
        guard let address else { return }
        let endpoint = try Endpoint.listening(address, "--metrics")
        do throws(SystemError) {
            let metrics = try MetricsServer(endpoint)
            try metrics.start { form in server.metrics(form) }
            Console.standard.say("metrics on http://\(metrics.endpoint)/metrics")
        } catch {
            throw Failure(error.code == 13 ? .notPermitted : .unavailable, "--metrics \(address): \(error)")
        }
    }

    /// The options from all layers, checked.
    private func understood() throws(Failure) -> ServeOptions {
        try Surroundings.options(of: "serve", given: given, config: result.config) {
            (settings) throws(OptionError) in try ServeOptions(settings)
        }
    }
}
