internal import Glibc
public import Machine

/// Why packets cannot be made, or not any more.
public enum GeneratorError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is no interface of this name (no such input).
    case noSuchInterface(String)
    /// The process lacks a capability (not permitted).
    case notPermitted(String)
    /// The interface is down (the kernel refused).
    case isDown(String)
    /// Frames are larger than the interface takes (usage).
    case tooLarge(String, bytes: Int)
    /// The interface takes no frames from XDP (the kernel refused).
    case cannotTransmit(String, reason: String)
    /// The interface was removed meanwhile.
    case removed(String)
    /// Anything else the kernel refused.
    case refused(SystemError)

    /// From a failed call.
    init(_ error: SystemError) {
        let isDenied = error.code == EPERM || error.code == EACCES
        self = isDenied ? .notPermitted(error.subject) : .refused(error)
    }

    /// The interface and the reason, in one line.
    public var description: String {
        switch self {
        case .noSuchInterface(let name): "\(name): there is no such interface"
        case .notPermitted(let name):
            "\(name): generating needs the capabilities CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON"
        case .isDown(let name): "\(name): the interface is down"
        case .tooLarge(let name, let bytes): "\(name): frames of \(bytes) bytes are larger than the interface takes"
        case .cannotTransmit(let name, let reason): "\(name): \(reason)"
        case .removed(let name): "\(name): the interface was removed"
        case .refused(let error): "\(error)"
        }
    }
}
