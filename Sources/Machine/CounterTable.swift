/// Every counter of the relay, declared once: from this table come the report's names, the metrics text and the ledger.
///
/// All count packets unless the name says otherwise. A drop reason is a counter whose report name is `dropped`; the
/// enumeration is closed, so no packet can be lost for a reason that has no name.
@frozen public enum Counter: UInt8, CaseIterable, Sendable {
    // Capture threads, one block per input.
    case captured, droppedKernel, droppedRing, droppedFillRingEmpty, droppedReceiveRingFull, droppedOversize
    case droppedRedirect, droppedUnexplained, droppedLinkType, passed, otherQueues, unmatched, cardStamped
    case invalidDescriptors, socketRxDropped, socketRxRingFull, socketFillRingEmpty, socketTxInvalid, socketTxRingEmpty
    // Worker threads.
    case received, receivedBytes, filteredExpression, filteredOwn, filteredCount, merged, reassembled, inWorker
    case droppedPoolFull, encoded, encodedBytes, batches, cutPackets
    // What becomes of fragments, in the same threads.
    case fragments, handedOn, fragmentDatagrams, fragmentBytes, reassemblyTime, longestReassembly
    case atomicFragments, tinyFragments, duplicateFragments, overlappedDatagrams
    case unassembledTimeout, unassembledOverlap, unassembledEnds, unassembledTooLarge, unassembledBadLength
    case unassembledEmpty, unassembledCut, unassembledNested, unassembledHoles, unassembledTooMany
    case unassembledTableFull, unassembledMemoryFull, unassembledCollision, unassembledBusy, unassembledEnd
    // Destinations.
    case carriedIn, assigned, takenOver, handedOver, delivered, deliveredBytes, inMemory, onDisk, expired
    case droppedEvicted, droppedBehind, droppedDrain, droppedUnreachable, droppedWrite, droppedLeft, droppedRemoved,
        droppedLateHello, droppedCacheDamage
    case spilled, replayed, cutForProfile, resent, connects, reconnects, refusedGuests, protocolErrors

    /// The counter's place in a block. The tag itself, because `rawValue` is a call that `@_noLocks` code in other
    /// modules cannot make; a test holds that both agree.
    @inlinable public var index: Int {
        @_noLocks @inline(__always)
        get { Int(unsafe unsafeBitCast(self, to: UInt8.self)) }
    }

    /// Who owns the counter: the thread that alone writes it.
    public enum Scope: String, Sendable, CaseIterable {
        case capture, worker, destination
    }

    /// What is said about a counter.
    public struct Entry: Sendable {
        /// Owner.
        public let scope: Scope
        /// Name in the report; with `reason` a key inside an object of that name.
        public let report: String
        /// The reason, for `dropped` and `filtered`.
        public let reason: String?
        /// Metric name without the `spillway_` prefix and without `_total`. What is shown in seconds is counted in nanoseconds.
        public let metric: String
        /// Whether it can also go down.
        public let isGauge: Bool
        /// One line of documentation.
        public let help: String
    }

    /// The table's line for this counter.
    public var entry: Entry {
        switch self {
        case .captured:
            .count(.capture, "captured", "captured_packets", "Packets that reached this input, those it lost included")
        case .droppedKernel: .drop(.capture, "kernel", "The kernel's receive buffer was full (PACKET_STATISTICS)")
        case .droppedRing: .drop(.capture, "ring", "The fast ring between capture and worker was full")
        case .droppedFillRingEmpty:
            .drop(.capture, "fill_ring_empty", "AF_XDP: no free frame; capture was held up for too long")
        case .droppedReceiveRingFull: .drop(.capture, "rx_ring_full", "AF_XDP: the receive ring was full")
        case .droppedOversize:
            .drop(.capture, "oversize", "AF_XDP: larger than a frame, and the driver takes no packets in several")
        case .droppedRedirect:
            .drop(.capture, "redirect", "AF_XDP: the kernel could not give the packet to the socket (xdp_redirect_err)")
        case .droppedUnexplained:
            .drop(.capture, "unexplained", "AF_XDP: given away by the program, and neither received nor counted")
        case .passed:
            .count(.capture, "passed", "passed_packets", "Left to the kernel: ours, and neighbours' questions for us")
        case .otherQueues:
            .count(.capture, "other_queues", "other_queue_packets", "Left to the kernel: came by a queue not captured")
        case .unmatched:
            .count(.capture, "unmatched", "unmatched_packets", "Left to the kernel: not selected by the filter")
        case .cardStamped:
            .count(.capture, "card_stamped", "card_stamped_packets", "Packets whose time is the card's own stamp")
        case .invalidDescriptors: .socket("rx_invalid_descs", "Descriptors of the receive ring that the kernel refused")
        case .socketRxDropped: .socket("rx_dropped", "Packets without a frame, or too large for one")
        case .socketRxRingFull: .socket("rx_ring_full", "Packets for which the receive ring had no place")
        case .socketFillRingEmpty: .socket("rx_fill_ring_empty_descs", "Looks of the kernel into an empty fill ring")
        case .socketTxInvalid: .socket("tx_invalid_descs", "Descriptors of the send ring that the kernel refused")
        case .socketTxRingEmpty: .socket("tx_ring_empty_descs", "Looks of the kernel into an empty send ring")
        case .droppedLinkType:
            .drop(.capture, "link_type", "Raw IP of another version than the first packet, which decides the link type")
        case .received:
            .count(.worker, "received", "received_packets", "Packets a worker took over from capture")
        case .receivedBytes:
            .count(.worker, "received_bytes", "received_bytes", "Captured bytes of the packets received")
        case .filteredExpression: .filter("expression", "The filter expression did not match")
        case .filteredOwn: .filter("own", "Spillway's own connections")
        case .filteredCount: .filter("count", "Came after the number of packets asked for with -c")
        case .merged: .count(.worker, "merged", "merged_packets", "Fragments that became part of another's record")
        case .reassembled:
            .count(.worker, "reassembled", "reassembled_datagrams", "Datagrams put together from fragments")
        case .inWorker:
            .gauge(.worker, "in_worker", "worker_packets", "Packets in open batches and unfinished datagrams")
        case .droppedPoolFull: .drop(.worker, "pool_full", "No free segment, and the policy is to lose the newest")
        case .encoded: .count(.worker, "encoded", "encoded_packets", "Packets in closed batches")
        case .encodedBytes: .count(.worker, "encoded_bytes", "encoded_bytes", "Bytes of closed batches")
        case .batches: .count(.worker, "batches", "batches", "Batches closed")
        case .cutPackets:
            .count(.worker, "cut", "cut_packets", "Packets cut to the snapshot length, true length kept")
        case .fragments:
            .count(.worker, "fragments", "fragments", "Fragments of IP datagrams received, atomic ones not included")
        case .handedOn:
            .count(.worker, "handed_on", "handed_on_fragments", "Fragments given to the worker that owns the datagram")
        case .fragmentDatagrams:
            .gauge(.worker, "fragment_datagrams", "fragment_datagrams", "Unfinished datagrams in the fragment table")
        case .fragmentBytes:
            .gauge(.worker, "fragment_bytes", "fragment_bytes", "Fragment memory in use")
        case .reassemblyTime:
            .count(
                .worker, "reassembly_ns", "reassembly_seconds",
                "Time from the first fragment to the last of datagrams put together, in sum")
        case .longestReassembly:
            .gauge(
                .worker, "longest_reassembly_ns", "longest_reassembly_seconds",
                "Longest time a datagram took from the first fragment to the last")
        case .atomicFragments:
            .count(
                .worker, "atomic_fragments", "atomic_fragments",
                "IPv6 packets with a fragment header that are whole (RFC 6946), passed on as they came")
        case .tinyFragments:
            .count(
                .worker, "tiny_fragments", "tiny_fragments",
                "Fragments with others behind them that are too short for a transport header (RFC 1858)")
        case .duplicateFragments:
            .count(.worker, "duplicate_fragments", "duplicate_fragments", "Fragments that came twice, byte for byte")
        case .overlappedDatagrams:
            .count(
                .worker, "overlapped_datagrams", "overlapped_datagrams",
                "Datagrams put together by the policy although fragments overlapped")
        case .unassembledTimeout: .unassembled("timeout", "The others did not come in --fragment-timeout")
        case .unassembledOverlap: .unassembled("overlap", "Fragments of the datagram overlap (RFC 5722)")
        case .unassembledEnds: .unassembled("ends", "Two fragments disagree on where the datagram ends")
        case .unassembledTooLarge: .unassembled("too_large", "The datagram would be larger than 65535 bytes")
        case .unassembledBadLength:
            .unassembled("bad_length", "Not the last fragment, and its length is no multiple of 8")
        case .unassembledEmpty: .unassembled("empty", "A fragment without data")
        case .unassembledCut: .unassembled("cut", "The fragment was not captured whole")
        case .unassembledNested: .unassembled("nested", "An IPv6 fragment header behind another one")
        case .unassembledHoles: .unassembled("holes", "More pieces apart from each other than a datagram may have")
        case .unassembledTooMany: .unassembled("too_many", "More fragments or duplicates than a datagram may have")
        case .unassembledTableFull: .unassembled("table_full", "Oldest in a full table of datagrams")
        case .unassembledMemoryFull: .unassembled("memory_full", "Oldest in full fragment memory")
        case .unassembledCollision: .unassembled("collision", "Oldest of too many datagrams with one hash value")
        case .unassembledBusy: .unassembled("busy", "The ring to the worker that owns the datagram was full")
        case .unassembledEnd: .unassembled("end", "Unfinished when the run ended")
        case .carriedIn:
            .count(.destination, "carried_in", "carried_in_packets", "Owed to this destination when it joined")
        case .assigned: .count(.destination, "assigned", "assigned_packets", "Packets this destination is to get")
        case .takenOver:
            .count(.destination, "taken_over", "taken_over_packets", "Packets taken over from another destination")
        case .handedOver:
            .count(.destination, "handed_over", "handed_over_packets", "Packets handed over to another destination")
        case .delivered: .count(.destination, "delivered", "delivered_packets", "Packets the destination has")
        case .deliveredBytes:
            .count(.destination, "delivered_bytes", "delivered_bytes", "Bytes of the batches delivered")
        case .inMemory: .gauge(.destination, "in_memory", "memory_packets", "Owed packets that are in memory")
        case .onDisk: .gauge(.destination, "on_disk", "disk_packets", "Owed packets that are only on disk")
        case .expired: .count(.destination, "expired", "expired_packets", "Owed packets the cache had to let go")
        case .droppedEvicted:
            .drop(.destination, "evicted", "Oldest in a full pool, and the policy is to lose the oldest")
        case .droppedBehind: .drop(.destination, "behind", "A reader that holds nothing fell behind what memory keeps")
        case .droppedDrain: .drop(.destination, "drain", "Undelivered when the time to drain was over")
        case .droppedUnreachable:
            .drop(.destination, "unreachable", "Owed only to destinations without progress while another waited")
        case .droppedWrite: .drop(.destination, "write", "The output file could not be written")
        case .droppedLeft: .drop(.destination, "left", "A reader that holds nothing left before it had them")
        case .droppedRemoved:
            .drop(.destination, "removed", "Owed to a destination that was taken out of the configuration")
        case .droppedLateHello:
            .drop(
                .destination, "late_hello", "Sent to a collector that greeted too late, and there is no copy any more")
        case .droppedCacheDamage:
            .drop(.destination, "cache_damage", "Owed from a cache file that cannot be read or does not check")
        case .spilled:
            .count(.destination, "spilled", "spilled_packets", "Owed packets that left memory for the disk")
        case .replayed:
            .count(.destination, "replayed", "replayed_packets", "Packets sent to the destination from disk")
        case .cutForProfile:
            .count(.destination, "cut", "destination_cut_packets", "Packets cut to the 65535 bytes of classic pcap")
        case .resent: .count(.destination, "resent", "resent_packets", "Packets sent again after a broken connection")
        case .connects: .count(.destination, "connects", "connects", "Connections made")
        case .reconnects: .count(.destination, "reconnects", "reconnects", "Connections made after the first")
        case .refusedGuests:
            .count(.destination, "refused", "refused_readers", "Readers turned away: no place, or not allowed")
        case .protocolErrors:
            .count(.destination, "protocol_errors", "protocol_errors", "Connections a breach of the protocol ended")
        }
    }
}

extension Counter.Entry {
    fileprivate static func count(_ scope: Counter.Scope, _ report: String, _ metric: String, _ help: String) -> Self {
        Self(scope: scope, report: report, reason: nil, metric: metric, isGauge: false, help: help)
    }

    fileprivate static func gauge(_ scope: Counter.Scope, _ report: String, _ metric: String, _ help: String) -> Self {
        Self(scope: scope, report: report, reason: nil, metric: metric, isGauge: true, help: help)
    }

    fileprivate static func drop(_ scope: Counter.Scope, _ reason: String, _ help: String) -> Self {
        let metric = scope == .destination ? "destination_dropped_packets" : "dropped_packets"
        return Self(scope: scope, report: "dropped", reason: reason, metric: metric, isGauge: false, help: help)
    }

    /// Fragments that left as they came, and why they did not become a part of a whole datagram.
    fileprivate static func unassembled(_ reason: String, _ help: String) -> Self {
        Self(
            scope: .worker, report: "unassembled", reason: reason, metric: "unassembled_packets", isGauge: false,
            help: help)
    }

    /// A figure of the kernel's about an AF_XDP socket, by the kernel's name (XDP_STATISTICS).
    fileprivate static func socket(_ name: String, _ help: String) -> Self {
        Self(
            scope: .capture, report: "xdp_statistics", reason: name, metric: "xdp_statistics", isGauge: false,
            help: help)
    }

    fileprivate static func filter(_ reason: String, _ help: String) -> Self {
        Self(scope: .worker, report: "filtered", reason: reason, metric: "filtered_packets", isGauge: false, help: help)
    }
}
