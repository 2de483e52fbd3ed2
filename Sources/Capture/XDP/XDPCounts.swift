internal import CXDP

/// The program's counters for one queue. For any one thread.
@safe public struct XDPCounts: @unchecked Sendable {
    // Safe because the room is never freed and one thread uses it.
    private let map: Int32
    private let queue: UInt32
    private let processors: Int
    private let room: UnsafeMutablePointer<UInt64>

    init(map: Int32, queue: UInt32, processors: Int) {
        (self.map, self.queue, self.processors) = (map, queue, processors)
        unsafe room = .allocate(capacity: processors)
        unsafe room.initialize(repeating: 0, count: processors)
    }

    /// Packets given to the queue's socket, lost ones included.
    public var redirected: UInt64 { count(SPILLWAY_VERDICT_REDIRECTED) }
    /// Packets left to the kernel because they were for us: neighbours' questions and our own connections.
    public var passed: UInt64 { count(SPILLWAY_VERDICT_NEIGHBOUR) &+ count(SPILLWAY_VERDICT_OWN) }
    /// Packets left to the kernel because the queue has no socket.
    public var withoutSocket: UInt64 { count(SPILLWAY_VERDICT_NO_SOCKET) }
    /// Packets left to the kernel because the selective filter does not match.
    public var unmatched: UInt64 { count(SPILLWAY_VERDICT_UNMATCHED) }
    /// Redirected packets that the kernel could not give to the socket for a reason the socket does not count.
    public var failed: UInt64 { count(SPILLWAY_VERDICT_REDIRECT_FAILED) }
    /// Packets that have the card's stamp.
    public var cardStamped: UInt64 { count(SPILLWAY_VERDICT_CARD_STAMPED) }

    private func count(_ verdict: spillway_verdict) -> UInt64 {
        unsafe spillway_xdp_count(map, queue, verdict.rawValue, room, Int32(processors))
    }
}
