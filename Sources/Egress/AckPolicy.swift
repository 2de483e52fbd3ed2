public import Pcapng
public import Transfer

/// Whether a destination is to acknowledge what it gets.
public enum AckPolicy: Sendable {
    /// What it says is not looked at; its TCP acknowledges.
    case none
    /// It acknowledges if it greets in time, and from then on it must.
    case auto
    /// Without a greeting nothing is sent.
    case required
}

/// What the relay says of itself to those who greet, and how it proves it.
public struct SessionIdentity: Sendable {
    /// The sensor's name.
    public var sensor: String
    /// SHA-256 of runs, in the order of docs/format.md whatever the order given.
    public var runsDigest: @Sendable ([RunIdentity]) -> [UInt8]
    /// Fresh random bytes, 32 of them.
    public var challenge: @Sendable () -> [UInt8]
    /// Makes the relay's proof and checks the collector's; nil without a token.
    public var proofs: Proofs?

    /// The two proofs of a connection.
    public struct Proofs: Sendable {
        /// Makes the relay's.
        public var make: @Sendable (ProofSubject) -> [UInt8]
        /// Checks the collector's.
        public var check: @Sendable ([UInt8], ProofSubject) -> Bool

        /// Proofs by these functions.
        public init(
            make: @escaping @Sendable (ProofSubject) -> [UInt8],
            check: @escaping @Sendable ([UInt8], ProofSubject) -> Bool
        ) {
            (self.make, self.check) = (make, check)
        }
    }

    /// An identity from its parts.
    public init(
        sensor: String, runsDigest: @escaping @Sendable ([RunIdentity]) -> [UInt8],
        challenge: @escaping @Sendable () -> [UInt8], proofs: Proofs? = nil
    ) {
        (self.sensor, self.runsDigest, self.challenge, self.proofs) = (sensor, runsDigest, challenge, proofs)
    }
}

/// How far a connection has come with the greetings of docs/format.md.
enum Greeting: UInt8 {
    /// A plain stream: batches flow, TCP acknowledges.
    case plain
    /// Waits a moment for the first bytes, which decide.
    case listening
    /// Waits for HELLO.
    case hello
    /// Waits for PROOF.
    case proof
    /// Waits for the last HAVE.
    case have
    /// Batches flow, the collector acknowledges.
    case agreed
}

/// What the control plane keeps for a connection that greets; the data plane never touches it.
struct Talk {
    /// Blocks on their way that are no part of the batch stream yet.
    var outgoing: [UInt8] = []
    /// When the present step must be over (monotonic).
    var deadline: UInt64 = 0
    /// When the connection came up.
    var began: UInt64 = 0
    /// Bytes that came before both sides had shown who they are.
    var unproven = 0
    /// The section header of the other side has come.
    var hasSection = false
    /// What both proofs are about.
    var subject: ProofSubject?
    /// HAVE blocks and ranges that may still come.
    var haveBlocks = 0, haveRanges = 0
    /// The inventory waits until the keeper of the cache has done this.
    var inventoryBehind: UInt64?
    /// The runs that the inventory speaks of.
    var runs: [RunIdentity] = []
}
