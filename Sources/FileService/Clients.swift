internal import Machine
internal import Synchronization

/// What connections of one address share.
final class Client: Sendable {
    /// The address, its port 0.
    let address: Endpoint
    /// The address's own limit, nil if there is none.
    let bucket: RateBucket?
    fileprivate let connections = Mutex(0)

    fileprivate init(_ address: Endpoint, _ bucket: RateBucket?) {
        self.address = address
        self.bucket = bucket
    }
}

/// Who is connected, over all loops, and how many may be.
final class Clients: Sendable {
    private struct State {
        var clients: [Endpoint: Client] = [:]
        var connections = 0
    }

    private let state = Mutex(State())
    private let limits: ServicePlan

    init(_ limits: ServicePlan) { self.limits = limits }

    /// Lets a connection in; nil if there are too many of them, or of this address's.
    func enter(_ peer: Endpoint) -> Client? {
        let address = peer.with(port: 0)
        return state.withLock { state in
            guard state.connections < limits.connections else { return nil }
            let client =
                state.clients[address] ?? Client(address, limits.clientRate.map { RateBucket(bytesPerSecond: $0) })
            let isLetIn = client.connections.withLock { count in
                guard count < limits.clientConnections else { return false }
                count += 1
                return true
            }
            guard isLetIn else { return nil }
            state.clients[address] = client
            state.connections += 1
            return client
        }
    }

    /// A connection is gone.
    func leave(_ client: Client) {
        state.withLock { state in
            state.connections -= 1
            let rest = client.connections.withLock { count in
                count -= 1
                return count
            }
            if rest == 0 { state.clients[client.address] = nil }
        }
    }

    /// Connections now.
    var count: Int { state.withLock { $0.connections } }
}
