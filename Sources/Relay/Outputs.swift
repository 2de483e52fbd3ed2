internal import Capture
internal import Egress
internal import Glibc
internal import Machine

/// Opens everything a run writes to, before anything is read: what cannot be had is better known at once.
struct Outputs {
    private(set) var plans: [DestinationPlan] = []
    /// Only readers that connect to us: with files as input the first of them is waited for.
    let isListenOnly: Bool

    init(_ options: RelayOptions, own: OwnTraffic) throws(RelayError) {
        isListenOnly = options.destinations.isEmpty && options.outputFile == nil
        for destination in options.destinations {
            plans.append(try Self.plan(destination, hasToken: options.tokenFile != nil))
        }
        for listener in options.listeners {
            plans.append(try Self.plan(listener, holds: !options.isLive && isListenOnly, own: own))
        }
        if let path = options.outputFile { plans.append(try Self.plan(file: path, holds: !options.isLive)) }
        for (place, plan) in plans.enumerated() where plans[..<place].contains(where: { $0.name == plan.name }) {
            throw RelayError(.usage, "two destinations go by the name '\(plan.name)'; give one of them another name=")
        }
    }

    static func plan(
        _ destination: RelayOptions.Destination, hasToken: Bool
    ) throws(RelayError) -> DestinationPlan {
        var outlet = Outlet.null
        if let address = destination.address {
            do throws(ResolutionError) {
                outlet = .connect(try Endpoint.resolve(host: address.host, port: address.port))
            } catch {
                throw RelayError(.unavailable, "--to \(address): \(error)")
            }
        }
        var plan = DestinationPlan(
            name: destination.name, address: destination.address?.description ?? "null", outlet: outlet,
            wire: Wire(destination.wire), newestFirst: destination.order == .newestFirst, holds: true,
            ack: AckPolicy(destination.ack, hasToken: hasToken), share: destination.share)
        plan.takesBacklog = destination.takesBacklog
        return plan
    }

    private static func plan(
        _ listener: RelayOptions.Listener, holds: Bool, own: OwnTraffic
    ) throws(RelayError) -> DestinationPlan {
        let endpoint = try Self.endpoint(listener.address, option: "--listen")
        do throws(SystemError) {
            let (socket, local) = try Listening.open(endpoint, backlog: 64)
            _ = own.enterListener(local: local)
            return DestinationPlan(
                name: "listen:\(local)", address: "\(local)", outlet: .listen(socket: socket),
                wire: Wire(listener.wire), newestFirst: listener.order == .newestFirst, holds: holds)
        } catch {
            throw RelayError(error, option: "--listen")
        }
    }

    private static func plan(file path: String, holds: Bool) throws(RelayError) -> DestinationPlan {
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC
        let descriptor = path == "-" ? STDOUT_FILENO : unsafe open(path, flags, 0o644)
        guard descriptor >= 0 else {
            let error = SystemError("open", path)
            throw RelayError(.cannotCreate, "-w \(error)")
        }
        return DestinationPlan(
            name: path == "-" ? "stdout" : path, address: path, outlet: .file(descriptor: descriptor, path: path),
            wire: .pcapng, newestFirst: false, holds: holds)
    }

    /// The first address of a host and port that something is to listen on.
    static func endpoint(_ address: HostPort, option: String) throws(RelayError) -> Endpoint {
        do throws(ResolutionError) {
            return try Endpoint.resolve(host: address.host, port: address.port)[0]
        } catch {
            throw RelayError(.usage, "\(option) \(address): \(error)")
        }
    }
}

extension RelayError {
    /// A failed system call while something is set up.
    init(_ error: SystemError, option: String) {
        let denied = error.code == EACCES || error.code == EPERM
        self.init(denied ? .notPermitted : .kernel, "\(option) \(error)")
    }
}

extension AckPolicy {
    /// What was asked for; a token asks for a proof, so that without a greeting nothing is sent.
    init(_ ack: RelayOptions.Acknowledgement, hasToken: Bool) {
        switch ack {
        case .none: self = .none
        case .auto: self = hasToken ? .required : .auto
        case .required: self = .required
        }
    }
}

extension Wire {
    init(_ wire: RelayOptions.Wire) {
        switch wire {
        case .pcapng: self = .pcapng
        case .pcap: self = .classic(nanoseconds: false)
        case .pcapNanoseconds: self = .classic(nanoseconds: true)
        }
    }
}
