/// Why a file cannot be fetched.
public struct FetchError: Error, Sendable, CustomStringConvertible {
    /// Which kind of failure it is; it decides the exit code, and whether to try again.
    public enum Kind: Sendable, Equatable {
        /// Not a URL, or not one of http.
        case address
        /// No connection, or it broke.
        case connection
        /// The server answered with this status.
        case status(UInt16)
        /// The answer is not what was asked for, or what arrived is not what was sealed.
        case data
        /// The output cannot be written.
        case output
    }

    /// Which kind of failure it is.
    public let kind: Kind
    /// One line that names what and where.
    public let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// The same, with the address it is about where that is not said yet.
    func of(_ address: HTTPAddress) -> FetchError {
        switch kind {
        case .connection, .data:
            description.hasPrefix(address.authority)
                ? self : FetchError(kind, "\(address.authority)\(address.target): \(description)")
        case .address, .status, .output: self
        }
    }

    /// Whether another attempt may succeed.
    var isPassing: Bool {
        switch kind {
        case .connection: true
        case .status(let code): code == 408 || code == 429 || code == 502 || code == 503 || code == 504
        case .address, .data, .output: false
        }
    }
}
