/// Types of the control blocks of acknowledged delivery (docs/format.md), and how long each may be.
public enum ControlType {
    /// The collector greets: versions, challenge.
    public static var hello: UInt32 { @_noLocks @inlinable get { 0x8053_5048 } }
    /// The relay answers: names, challenge, proof.
    public static var session: UInt32 { @_noLocks @inlinable get { 0x8053_5053 } }
    /// The collector's proof.
    public static var proof: UInt32 { @_noLocks @inlinable get { 0x8053_5050 } }
    /// What the relay still owes.
    public static var owed: UInt32 { @_noLocks @inlinable get { 0x8053_504F } }
    /// What the collector has of it.
    public static var have: UInt32 { @_noLocks @inlinable get { 0x8053_5056 } }
    /// Batches that are safe with the collector.
    public static var ack: UInt32 { @_noLocks @inlinable get { 0x8053_5041 } }
    /// Batches that will not come after all.
    public static var gone: UInt32 { @_noLocks @inlinable get { 0x8053_5047 } }
    /// The last block of a direction.
    public static var end: UInt32 { @_noLocks @inlinable get { 0x8053_5045 } }

    /// Whether a type is one of these.
    @_noLocks public static func isControl(_ type: UInt32) -> Bool {
        switch type {
        case hello, session, proof, owed, have, ack, gone, end: true
        default: false
        }
    }

    /// The longest block of a type, in bytes: of a control block, or of anything else that is not a batch.
    @_noLocks public static func longest(_ type: UInt32) -> Int {
        switch type {
        case hello, proof, end: 256
        case session: 512
        case owed, have, ack, gone: 65536
        default: type & 0x8000_0000 != 0 ? 65536 : 262_144 + 4096
        }
    }
}

/// The limits of acknowledged delivery that both sides keep (docs/format.md).
public enum TransferLimit {
    /// The version of the protocol that is spoken here.
    public static let version: UInt16 = 1
    /// Bytes taken from the other side before both have shown who they are.
    public static let bytesBeforeProof = 4096
    /// Nanoseconds until both have shown who they are.
    public static let timeBeforeProof: UInt64 = 5_000_000_000
    /// Nanoseconds a relay waits for a greeting that is not promised.
    public static let greetingTime: UInt64 = 500_000_000
    /// Nanoseconds of silence after which a side says that it is alive, and after which it is taken for dead.
    public static let aliveTime: UInt64 = 10_000_000_000, silenceTime: UInt64 = 60_000_000_000
    /// Connections of a collector that have not shown who they are.
    public static let unprovenConnections = 64
    /// Runs of a sensor, its lanes, and ranges of one inventory.
    public static let runs = 1024, lanes = 4096, ranges = 65536
    /// Bytes of a batch.
    public static let batchBytes = 32 << 20
    /// Ranges of one block.
    public static var rangesOfBlock: Int { @_noLocks @inlinable get { 4092 } }
}
