internal import Glibc
public import Machine
internal import Sending
internal import Synchronization
public import Telemetry

/// Serves the files below a directory over HTTP/1.1 (RFC 9110, RFC 9112), without copying them.
public final class FileServer: Sendable {
    /// Where it listens, with the ports the kernel chose if 0 was asked for.
    public let endpoints: [Endpoint]
    private let shared: ServeShared
    private let threads = Atomic<Int>(0)
    private let started = Clock.monotonic()

    /// Why it cannot start.
    public enum Fault: Error {
        /// There is no such directory, or it may not be read.
        case directory(SystemError)
        case listening(SystemError)
        case accessLog(SystemError)
        case kernel(SystemError)
    }

    /// Opens directory, sockets and log, and starts the loops.
    public init(_ options: ServicePlan) throws(Fault) {
        let directory = unsafe open(options.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .directory(SystemError("open", options.directory)) }
        var listeners: [Int32] = []
        var endpoints: [Endpoint] = []
        do throws(SystemError) {
            for endpoint in options.listen {
                let (listener, local) = try Listening.open(endpoint, backlog: 1024)
                listeners.append(listener)
                endpoints.append(local)
            }
        } catch {
            throw .listening(error)
        }
        self.endpoints = endpoints
        let log: AccessLog?
        do throws(SystemError) {
            log = try options.accessLog.map { path throws(SystemError) in try AccessLog(path) }
        } catch {
            throw .accessLog(error)
        }
        do throws(SystemError) {
            DescriptorLimit.raise()
            shared = try ServeShared(options, directory: directory, listeners: listeners, log: log)
            for number in 0..<(options.loops ?? (options.cpus ?? .available()).members.count) { try startLoop(number) }
        } catch {
            throw .kernel(error)
        }
    }

    private func startLoop(_ number: Int) throws(SystemError) {
        let loop = LoopBox(try ServeLoop(shared))
        _ = threads.add(1, ordering: .sequentiallyConsistent)
        try PinnedThread(name: "serve-\(number)", cpus: shared.options.cpus) { [self] in
            loop.loop.run()
            if threads.subtract(1, ordering: .sequentiallyConsistent).newValue == 0 { shared.end() }
        }.detach()
    }

    /// Carries a loop to its thread, and only there.
    private struct LoopBox: @unchecked Sendable {
        let loop: ServeLoop
        init(_ loop: ServeLoop) { self.loop = loop }
    }

    // ---- the end -------------------------------------------------------------------------------------------------

    /// Takes no more connections and lets responses under way come to their ends.
    public func drain() { shared.stop.set() }

    /// Stops waiting for them.
    public func stopAtOnce() {
        shared.stop.set()
        shared.kill.set()
    }

    /// Whether all loops have ended.
    public var hasEnded: Bool { threads.load(ordering: .sequentiallyConsistent) == 0 }

    // ---- memory --------------------------------------------------------------------------------------------------

    /// What a connection takes in this process, at most.
    public static let connectionBytes = Connection.headBytes + (8 << 10)

    /// What all indexes and queries together take in this process: for each a batch or the buffer of the file that is read, a
    /// piece of the answer, and a record.
    public static let queriesBytes = ServeLoop.lentMost * ((2 << 20) + LentWriter.bufferBytes + (1 << 20))

    // ---- figures -------------------------------------------------------------------------------------------------

    /// The counters, for whoever shows them beside others.
    public var metricFamilies: [MetricsText.Family] { shared.counters.families }

    /// What is true now, and what the helpers did.
    public var metricGauges: [MetricsText.Gauge] {
        let figures = shared.pool.figures
        let values: [(String, String, Int)] = [
            ("open_connections", "Connections now", shared.clients.count),
            ("helper_threads", "Threads that wait for the disk", figures.threads),
            ("helper_threads_peak", "The most such threads at a time", figures.threadsPeak),
            ("helper_loads", "Parts of files read ahead of the sending", Int(figures.loads)),
            ("helper_loaded_bytes", "Bytes of them", Int(figures.loadedBytes)),
            ("helper_released_bytes", "Bytes of parts let go of behind the sending", Int(figures.releasedBytes)),
        ]
        return values.map { MetricsText.Gauge("serve_\($0.0)", $0.1, [([], Double($0.2))]) }
    }

    /// Metrics as text.
    public func metrics(_ form: MetricsText.Form) -> String {
        MetricsText.render(form, families: metricFamilies, gauges: metricGauges)
    }

    /// The final figures as JSON.
    public func report() -> String {
        shared.log?.flush()
        let figures = shared.pool.figures
        var members: [(String, JSONValue)] = [
            ("seconds", .fraction(Double(Clock.monotonic() - started) / 1e9)),
            ("method", .string(shared.options.method.name)),
        ]
        for counter in ServeCounter.allCases {
            members.append((counter.entry.name, .number(shared.counters.value(counter))))
        }
        members.append(("helper_threads_peak", .number(UInt64(figures.threadsPeak))))
        members.append(("helper_loads", .number(figures.loads)))
        members.append(("helper_loaded_bytes", .number(figures.loadedBytes)))
        members.append(("helper_released_bytes", .number(figures.releasedBytes)))
        return JSONValue.object(members).text()
    }
}
