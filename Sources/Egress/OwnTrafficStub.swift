internal import Machine
public struct OwnTraffic: Sendable {
    public init() {}
    func enter(local: Endpoint, remote: Endpoint) -> Int? { nil }
    func leave(_ t: Int) {}
}
