public import Machine
internal import Pcapng
internal import Transfer

/// What a destination's stream looks like.
public enum Wire: Sendable {
    /// Batches as they are.
    case pcapng
    /// Classic pcap for readers that know no other: no batch identity, records cut to 65535 bytes.
    case classic(nanoseconds: Bool)
}

/// Where batches go.
public enum Outlet: Sendable {
    /// We connect there, and again whenever the connection breaks. Holds memory until everything is delivered.
    case connect([Endpoint])
    /// Readers connect to this listening socket; each gets everything from then on and holds nothing.
    case listen(socket: Int32)
    /// Counts and discards.
    case null
    /// A file, written by a thread of its own.
    case file(descriptor: Int32, path: String)
}

/// One destination as the command line describes it.
public struct DestinationPlan: Sendable {
    /// Name in the report and the metrics.
    public var name: String
    /// Where it leads, as people write it.
    public var address: String
    /// Where batches go.
    public var outlet: Outlet
    /// What the stream looks like.
    public var wire: Wire
    /// The order; otherwise oldest first.
    public var newestFirst: Bool
    /// Whether segments wait for it; so it is with files as input, where the reader waits.
    public var holds: Bool
    /// Whether it is to acknowledge.
    public var ack: AckPolicy
    /// How many parts of the whole it gets, where destinations share.
    public var share: Int
    /// Whether one that joins later is owed what memory still has; otherwise only what comes from then on.
    public var takesBacklog = false

    /// A plan.
    public init(
        name: String, address: String, outlet: Outlet, wire: Wire, newestFirst: Bool, holds: Bool,
        ack: AckPolicy = .none, share: Int = 1
    ) {
        self.share = share
        self.ack = ack
        self.name = name
        self.address = address
        self.outlet = outlet
        self.wire = wire
        self.newestFirst = newestFirst
        self.holds = holds
    }
}

/// The limits every destination works under.
public struct EgressLimits: Sendable {
    /// Bytes written and not acknowledged, per destination.
    public var ackWindow = 4 << 20
    /// Batches written and not acknowledged, per destination; a power of two.
    public var inFlightBatches = 8192
    /// Unsent bytes the kernel should hold per connection before it asks for more (tcp(7), TCP_NOTSENT_LOWAT). What is
    /// in the socket is first in, first out, so it is kept small.
    public var notSentLowWater: Int32 = 16 << 10
    /// Nanoseconds after which unacknowledged data means a dead peer (TCP_USER_TIMEOUT).
    public var userTimeout: UInt64 = 30_000_000_000
    /// Nanoseconds between interface statistics blocks.
    public var statisticsInterval: UInt64 = 10_000_000_000
    /// Nanoseconds the end of a run waits for destinations.
    public var drainTimeout: UInt64 = 10_000_000_000
    /// Readers served at once per listener.
    public var guestsPerListener = 8
    /// First and longest pause before connecting again.
    public var retryFirst: UInt64 = 100_000_000
    /// Longest pause before connecting again.
    public var retryLongest: UInt64 = 5_000_000_000
    /// Nanoseconds after which what is owed to a sharing destination that is down goes to others; 0 for never.
    public var reassignAfter: UInt64 = 30_000_000_000
    /// Nanoseconds to wait for a greeting that is not promised.
    public var greetingTime = TransferLimit.greetingTime
    /// Nanoseconds to wait for one that is, and for the proofs.
    public var proofTime = TransferLimit.timeBeforeProof
    /// Nanoseconds of silence after which a collector is taken for dead.
    public var silenceTime = TransferLimit.silenceTime
    /// Places for destinations that are added while the run goes on.
    public var spareConnections = 0
    /// Largest batch, trailer included.
    public var maximumBatchBytes: Int

    /// The defaults for batches of at most this size.
    public init(maximumBatchBytes: Int) {
        self.maximumBatchBytes = maximumBatchBytes
    }

    /// Bytes of a connection's own buffer: one batch whose segment was wanted, or classic records on their way.
    public var scratchBytes: Int {
        roundUp(max(maximumBatchBytes, Record.maximumByteCount + BatchTrailer.byteCount), 4096)
    }
    /// Bytes for headers and statistics on their way.
    public var controlBytes: Int { 64 << 10 }

    /// Memory one connection takes, for the budget.
    public var bytesPerConnection: Int {
        scratchBytes + controlBytes + roundUp(inFlightBatches * InFlightQueue.entryBytes, 4096)
            + roundUp(PieceQueue.byteCount, 4096) + Inbox.capacity + GoneQueue.byteCount
            + roundUp(PlainDeliveries.byteCount, 4096) + 3 * 4096
    }
}
