public import Machine
public import Tokens

/// A destination of a replay.
public struct StreamDestination: Sendable {
    /// Whether it is to acknowledge.
    public enum Acknowledgement: Sendable {
        /// Where it greets.
        case auto
        /// Nothing is sent to one that does not greet.
        case required
        /// It is a plain reader.
        case none
    }

    /// Its name, by which a collector knows it.
    public var name: String
    /// As people write it, for messages.
    public var address: String
    /// Where to connect: one address after the other.
    public var endpoints: [Endpoint]
    /// Whether it is to acknowledge.
    public var ack = Acknowledgement.auto
    /// The shared secret.
    public var token: Token?

    /// A destination that acknowledges if it greets.
    public init(name: String, address: String, endpoints: [Endpoint]) {
        (self.name, self.address, self.endpoints) = (name, address, endpoints)
    }
}
