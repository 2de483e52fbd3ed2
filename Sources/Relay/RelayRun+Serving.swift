internal import Capture
internal import FileService
internal import Glibc
internal import Machine

/// Files served beside the run, by threads on the control CPUs: the path of the packets knows nothing of them.
extension RelayRun {
    /// Connections at a time. A run has other things to do than to serve everybody.
    private static let servedConnections = 256

    /// What the service may take, for the sum of the memory.
    static let servingBytes = servedConnections * FileServer.connectionBytes + FileServer.queriesBytes

    /// Starts the service; its connections are the run's own traffic.
    static func fileServer(
        _ options: RelayOptions, _ own: OwnTraffic, cpus: CPUSet
    ) throws(RelayError) -> FileServer? {
        guard let serve = options.serve else { return nil }
        var plan = ServicePlan(
            directory: serve.directory, listen: [try Outputs.endpoint(serve.address, option: "--serve")])
        plan.cpus = cpus
        plan.connections = servedConnections
        plan.drainTimeout = options.drainTimeout
        do throws(FileServer.Fault) {
            let server = try FileServer(plan)
            for endpoint in server.endpoints { _ = own.enterListener(local: endpoint) }
            return server
        } catch {
            throw RelayError(error)
        }
    }

    /// Lets responses under way come to their ends after the run; a signal cuts them off.
    func endServing(_ signals: borrowing SignalWatch) {
        guard let files else { return }
        files.drain()
        if abort.isSet { files.stopAtOnce() }
        while !files.hasEnded {
            if signals.wait(milliseconds: 20) != nil { files.stopAtOnce() }
        }
    }
}

extension RelayError {
    /// The service beside the run cannot start.
    init(_ fault: FileServer.Fault) {
        switch fault {
        case .directory(let error):
            self.init(error.code == EACCES ? .notPermitted : .noInput, "--serve: \(error)")
        case .listening(let error), .accessLog(let error), .kernel(let error):
            self.init(error, option: "--serve")
        }
    }
}
