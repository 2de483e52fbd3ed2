/// Why an interface cannot be captured from, or not any more.
public enum PcapInterfaceError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is no interface of this name (no such input).
    case noSuchInterface(String)
    /// The process may not open packet sockets (not permitted).
    case notPermitted(String)
    /// The interface is configured down (the kernel refused).
    case isDown(String)
    /// The filter expression is wrong (usage).
    case filter(PacketFilterError)
    /// Anything else libpcap or the kernel said when it was opened (the kernel refused).
    case cannotOpen(String, reason: String)
    /// The interface was removed while it was captured from.
    case removed(String)
    /// Anything else that ended a capture.
    case cannotRead(String, reason: String)

    /// The interface and the reason, in one line.
    public var description: String {
        switch self {
        case .noSuchInterface(let name): "\(name): there is no such interface"
        case .notPermitted(let name): "\(name): capturing needs the capability CAP_NET_RAW"
        case .isDown(let name): "\(name): the interface is down"
        case .filter(let error): error.description
        case .cannotOpen(let name, let reason): "\(name): cannot capture: \(reason)"
        case .removed(let name): "\(name): the interface was removed"
        case .cannotRead(let name, let reason): "\(name): capturing ended: \(reason)"
        }
    }
}
