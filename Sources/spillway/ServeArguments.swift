import ArgumentParser
import Options

// The options of `spillway serve`, in the groups in which the help shows them.

struct ServingArguments: ParsableArguments {
    @Argument(help: ArgumentHelp("The directory that is served, and nothing outside it.", valueName: "dir"))
    var directory: String

    @Option(
        name: .customLong("listen"),
        help: ArgumentHelp("Listen on ADDR:PORT; repeatable. Port 0 lets the kernel choose.", valueName: "addr"))
    var listen: [String] = []

    @Option(
        help: ArgumentHelp(
            "How bytes get from files into sockets: sendfile, splice, mmap or copy (default: sendfile).",
            valueName: "name"))
    var method: String?

    @Option(help: ArgumentHelp("Event loops (default: one per CPU).", valueName: "n"))
    var threads: String?

    @Option(
        name: .customLong("helper-threads"),
        help: ArgumentHelp("The most threads that wait for the disk (default: 16).", valueName: "n"))
    var helperThreads: String?

    @Option(
        name: .customLong("copy-below"),
        help: ArgumentHelp(
            "Files up to this size, 64K at most, are copied beside their head (default: 16K).", valueName: "size"))
    var copyBelow: String?
}

struct ClientArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            What clients must send, as 'Authorization: Bearer TOKEN'. Better kept in the environment (SPILLWAY_TOKEN) or in \
            the configuration file than on the command line, which everybody can see.
            """, valueName: "text"))
    var token: String?

    @Option(
        name: .customLong("rate"),
        help: ArgumentHelp("Bits per second of all clients together, such as 10Gbps.", valueName: "rate"))
    var totalRate: String?

    @Option(
        name: .customLong("client-rate"),
        help: ArgumentHelp("Bits per second of each client address, such as 100Mbps.", valueName: "rate"))
    var clientRate: String?

    @Option(help: ArgumentHelp("The most connections at a time (default: 1024).", valueName: "n"))
    var connections: String?

    @Option(
        name: .customLong("client-connections"),
        help: ArgumentHelp("The most connections of a client address (default: 256).", valueName: "n"))
    var clientConnections: String?

    @Option(
        name: .customLong("head-timeout"),
        help: ArgumentHelp("How long a client may take for a request (default: 10s).", valueName: "time"))
    var headTimeout: String?

    @Option(
        name: .customLong("idle-timeout"),
        help: ArgumentHelp("How long a connection may wait for its next request (default: 1m).", valueName: "time"))
    var idleTimeout: String?

    @Option(
        name: .customLong("send-timeout"),
        help: ArgumentHelp("How long a reader may take nothing (default: 1m).", valueName: "time"))
    var sendTimeout: String?

    @Option(
        name: .customLong("drain-timeout"),
        help: ArgumentHelp("How long responses under way are waited for at the end (default: 10s).", valueName: "time"))
    var drainTimeout: String?
}

struct ServeWatchingArguments: ParsableArguments {
    @Option(
        name: .customLong("access-log"),
        help: ArgumentHelp("Add a line of JSON for each request, - is standard output.", valueName: "file"))
    var accessLog: String?

    @Option(help: ArgumentHelp("Serve OpenMetrics text over HTTP on ADDR:PORT.", valueName: "addr"))
    var metrics: String?
}

extension Serve {
    /// What the command line gives for each option.
    var given: [ServeOption: [String]] {
        let values: [ServeOption: String?] = [
            .method: serving.method, .threads: serving.threads, .helperThreads: serving.helperThreads,
            .copyBelow: serving.copyBelow, .token: clients.token, .totalRate: clients.totalRate,
            .clientRate: clients.clientRate, .connections: clients.connections,
            .clientConnections: clients.clientConnections, .headTimeout: clients.headTimeout,
            .idleTimeout: clients.idleTimeout, .sendTimeout: clients.sendTimeout, .drainTimeout: clients.drainTimeout,
            .accessLog: watching.accessLog, .metrics: watching.metrics, .report: result.report,
        ]
        var given = values.compactMapValues { $0.map { [$0] } }
        if !serving.listen.isEmpty { given[.listen] = serving.listen }
        return given
    }
}
