/// Something a person wrote is not what it should be: which option, which value, and what would be right.
public struct OptionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Which kind of mistake it is; it decides the exit code.
    public enum Kind: Sendable {
        /// An option that does not exist, a value that is not allowed, or a combination that makes no sense.
        case usage
        /// A configuration file that is not YAML of the expected shape.
        case malformedFile
    }

    /// Which kind of mistake it is.
    public let kind: Kind
    /// One line that names what and where.
    public let description: String

    /// An error.
    init(_ description: String, kind: Kind = .usage) {
        self.kind = kind
        self.description = description
    }
}
