public import Machine
internal import SpillCache

/// Why a collector cannot start, or has to end.
public enum CollectorError: Error, Sendable, CustomStringConvertible {
    /// The directory cannot be made or written.
    case cannotCreate(SystemError)
    /// It cannot listen there.
    case cannotListen(SystemError)
    /// Another process works in the directory.
    case inUse(String)
    /// The state in the directory is damaged or of another version.
    case badState(String)
    /// Reading or writing failed for good.
    case inputOutput(SystemError)
    /// The kernel refused something else.
    case kernel(SystemError)

    /// One line that names what and where.
    public var description: String {
        switch self {
        case .cannotCreate(let error), .inputOutput(let error), .kernel(let error), .cannotListen(let error):
            "\(error)"
        case .inUse(let text), .badState(let text): text
        }
    }

    init(_ error: CacheError) {
        switch error {
        case .system(let error): self = .inputOutput(error)
        case .inUse: self = .inUse("\(error)")
        case .version, .damaged: self = .badState("\(error)")
        }
    }
}
