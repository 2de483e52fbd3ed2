public import Machine
public import Pcapng

/// Why a capture file cannot be read, or not any further.
public enum CaptureFileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is no such file, or it may not be opened.
    case cannotOpen(SystemError)
    /// The kernel could not read on from this offset.
    case cannotRead(SystemError, offset: UInt64)
    /// The bytes are not those of a sound capture file. All packets before the damage have been delivered.
    case damaged(path: String, CaptureFileDamage)

    /// The path, where the input is damaged, and the reason.
    public var description: String {
        switch self {
        case .cannotOpen(let error): error.description
        case .cannotRead(let error, let offset): "\(error), at offset \(offset)"
        case .damaged(let path, let damage): "\(path): \(damage)"
        }
    }
}
