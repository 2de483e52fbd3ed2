internal import Glibc
public import Machine
internal import SpillCache
internal import Telemetry

/// The collector: takes acknowledged deliveries of many sensors and makes time-ordered capture files of them.
public enum Collector {
    /// Runs until SIGINT or SIGTERM, and returns the final figures.
    ///
    /// - Parameter ready: called once, when it listens, with the addresses it really has.
    public static func run(
        _ options: CollectorOptions, console: CollectorConsole, ready: ([Endpoint]) -> Void
    ) throws(CollectorError) -> CollectorReport {
        let signals: StopSignals
        do throws(SystemError) { signals = try StopSignals() } catch { throw .kernel(error) }
        DescriptorLimit.raise()
        let places: CollectorPlaces
        do throws(SystemError) {
            places = try CollectorPlaces(options.directory)
        } catch {
            throw .cannotCreate(error)
        }
        let lock: DirectoryLock
        do throws(CacheError) {
            lock = try DirectoryLock(in: places.state, owner: options.application)
        } catch {
            throw CollectorError(error)
        }
        // The ports are taken first, so that a mistake shows at once; nobody is let in before the recovery is done.
        let (listeners, endpoints) = try listen(options.listen)
        defer { for listener in listeners { close(listener) } }
        let loop: CollectorLoop
        do throws(SystemError) {
            loop = try CollectorLoop(options, console, places, lock, signals, listeners: listeners)
        } catch {
            throw .kernel(error)
        }
        try loop.recover()
        if let fatal = loop.fatal { throw fatal }
        do throws(SystemError) {
            for listener in listeners where Glibc.listen(listener, 128) != 0 { throw SystemError("listen") }
        } catch {
            throw .cannotListen(error)
        }
        try loop.serveMetrics()
        ready(endpoints)
        try loop.run()
        if loop.unfinished > 0 {
            loop.problem("\(loop.unfinished) acknowledged packets are in no file yet; the next start goes on with them")
        }
        return CollectorReport(
            figures: loop.published.present, problems: loop.problems, unfinishedPackets: loop.unfinished)
    }

    private static func listen(_ wanted: [Endpoint]) throws(CollectorError) -> ([Int32], [Endpoint]) {
        var listeners: [Int32] = []
        var endpoints: [Endpoint] = []
        for endpoint in wanted {
            do throws(SystemError) {
                let (socket, real) = try Listening.bind(endpoint)
                listeners.append(socket)
                endpoints.append(real)
            } catch {
                for listener in listeners { close(listener) }
                throw .cannotListen(error)
            }
        }
        return (listeners, endpoints)
    }
}
