/// Why something cannot be sealed or opened.
public enum AgeError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A recipient or an identity that is not of the form of age.
    case badKey(String)
    /// Not a file of age, or one that was changed or cut.
    case badHeader(String)
    /// None of the identities opens the file.
    case noIdentityMatches
    /// A chunk that is not what was sealed; its number, from 0.
    case badChunk(UInt64)
    /// The file ends before the payload does.
    case truncated
    /// The input cannot be read.
    case failed(String)
    /// The output cannot be written.
    case notWritten(String)

    /// One line.
    public var description: String {
        switch self {
        case .badKey(let reason): reason
        case .badHeader(let reason): "no file of age: \(reason)"
        case .noIdentityMatches: "none of the identities opens it"
        case .badChunk(let number): "chunk \(number) is damaged, or was changed"
        case .truncated: "it ends too early"
        case .failed(let reason), .notWritten(let reason): reason
        }
    }
}
