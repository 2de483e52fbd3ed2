import FileService
import Glibc
import Machine
import Options
import Relay
import Sending

extension ServicePlan {
    /// The server's plan, with its own defaults for what was not given.
    init(_ directory: String, _ options: ServeOptions) throws(Failure) {
        var endpoints: [Endpoint] = []
        for address in options.listen { endpoints.append(try Endpoint.listening(address, "--listen")) }
        self.init(directory: directory, listen: endpoints)
        method = options.method.flatMap { SendMethod(name: $0.rawValue) } ?? method
        loops = options.threads
        helpers = options.helperThreads ?? helpers
        token = options.token
        clientRate = options.clientRate
        totalRate = options.totalRate
        connections = options.connections ?? connections
        clientConnections = options.clientConnections ?? clientConnections
        headTimeout = options.headTimeout ?? headTimeout
        idleTimeout = options.idleTimeout ?? idleTimeout
        sendTimeout = options.sendTimeout ?? sendTimeout
        drainTimeout = options.drainTimeout ?? drainTimeout
        smallest = options.copyBelow ?? smallest
        accessLog = options.accessLog
    }
}

extension Endpoint {
    /// Where to listen: the first address the resolver has for it.
    static func listening(_ address: Address, _ option: String) throws(Failure) -> Endpoint {
        do throws(ResolutionError) {
            let found = try Endpoint.resolve(host: address.host, port: address.port)
            if let first = found.first { return first }
        } catch {
            throw Failure(.unavailable, "\(option) \(address): \(error)")
        }
        throw Failure(.unavailable, "\(option) \(address): no such address")
    }
}

extension Failure {
    init(_ fault: FileServer.Fault) {
        switch fault {
        case .directory(let error):
            self.init(error.code == EACCES ? .notPermitted : .noInput, "\(error)")
        case .listening(let error):
            self.init(error.code == EACCES ? .notPermitted : .unavailable, "--listen: \(error)")
        case .accessLog(let error): self.init(.cannotCreate, "--access-log: \(error)")
        case .kernel(let error): self.init(.kernel, "\(error)")
        }
    }
}
