internal import CMachine
internal import Glibc
public import Machine

/// Receives files: binds, and then reads into a path or a directory.
///
/// Files appear under their names only when all their pieces are verified; what is not whole stays in the directory
/// `.spillway` beside them and is gone on with when the sender comes again.
public final class FileReceiver: Sendable {
    /// What it was told.
    public let options: ReceiveOptions
    /// Where it really listens.
    public let endpoints: [Endpoint]
    private let listeners: [Int32]
    private let stopSignal: Int32

    /// Binds and listens.
    public init(_ options: ReceiveOptions) throws(ReceiveError) {
        self.options = options
        stopSignal = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        if stopSignal < 0 { throw .kernel(SystemError("eventfd")) }
        var listeners: [Int32] = []
        var endpoints: [Endpoint] = []
        for endpoint in options.listen {
            do throws(SystemError) {
                let (socket, real) = try Listening.open(endpoint, backlog: 128)
                listeners.append(socket)
                endpoints.append(real)
            } catch {
                for listener in listeners + [stopSignal] { close(listener) }
                throw .cannotListen(error)
            }
        }
        (self.listeners, self.endpoints) = (listeners, endpoints)
    }

    deinit { for descriptor in listeners + [stopSignal] { close(descriptor) } }

    /// Ends ``run(log:)`` and ``read(into:log:)``, from any thread.
    public func stop() { spillway_event_signal(stopSignal) }

    /// Receives into the directory of the options until it is stopped.
    ///
    /// - Parameter log: takes lines for people, on the calling thread.
    public func run(log: @escaping @Sendable (String) -> Void = { _ in }) throws(ReceiveError) -> ReceiveReport {
        try receive(into: try OutputDirectory(options.directory), name: nil, log)
    }

    /// Receives one file, whatever its sender calls it, and gives it this path.
    ///
    /// - Returns: the file.
    public func read(
        into path: String, log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(ReceiveError) -> ReceivedFile {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard let name = parts.last, !name.isEmpty else { throw .notReceived("\(path): no path of a file") }
        let folder = parts.dropLast().joined(separator: "/")
        let directory = try OutputDirectory(parts.count == 1 ? "." : folder.isEmpty ? "/" : folder)
        let report = try receive(into: directory, name: String(name), log)
        guard let file = report.files.first else {
            throw .notReceived("\(path): \(report.failures.first ?? "nothing was received")")
        }
        return file
    }

    private func receive(
        into directory: OutputDirectory, name: String?, _ log: @escaping @Sendable (String) -> Void
    ) throws(ReceiveError) -> ReceiveReport {
        do throws(SystemError) {
            let loop = try ReceiveLoop(
                options, directory, listeners: listeners, stopSignal: stopSignal, singleName: name, console: log)
            let report = loop.run()
            spillway_event_drain(stopSignal)
            return report
        } catch {
            throw .kernel(error)
        }
    }
}
