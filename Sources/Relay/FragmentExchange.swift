internal import Machine
internal import Synchronization

/// How fragments that come by different receive queues of an interface still meet: the bytes of each go to the worker that
/// its datagram's hash names, through a ring for every pair of workers.
///
/// Only workers of one interface exchange anything: fragments of one datagram come by one interface. A worker alone has no
/// rings.
@safe struct FragmentExchange: ~Copyable, @unchecked Sendable {
    // Safe because every ring end is used by one worker, and all memory here lives as long as the process.

    /// How many workers share the interface, and which of them this one is.
    let workers: Int
    let place: Int
    private let outgoing: UnsafeMutablePointer<ByteRingProducer?>
    private let incoming: UnsafeMutablePointer<ByteRingConsumer?>
    /// Workers that may still hand something on.
    private let sending: UnsafePointer<Atomic<Int>>
    private var hasEnded = false

    /// Fragments taken from one peer in a row.
    static var burst: Int { @_noLocks get { 64 } }

    /// Exchanges for the workers of one interface.
    ///
    /// - Parameter ringBytes: of each ring, a power of two; there is one for every ordered pair.
    static func make(workers: Int, ringBytes: Int) throws(SystemError) -> [Slot] {
        let sending = UnsafeMutablePointer<Atomic<Int>>.allocate(capacity: 1)
        unsafe sending.initialize(to: Atomic(workers))
        let slots = (0..<workers).map { unsafe Slot(workers: workers, place: $0, sending: UnsafePointer(sending)) }
        for sender in 0..<workers {
            for receiver in 0..<workers where receiver != sender {
                let ring = try ByteRing(byteCount: ringBytes)
                unsafe (slots[sender].outgoing + receiver).pointee = ring.makeProducer()
                unsafe (slots[receiver].incoming + sender).pointee = ring.makeConsumer()
            }
        }
        return slots
    }

    /// The parts of an exchange before its worker is there.
    @safe struct Slot: Sendable {
        // Safe for the reason given above.
        let workers: Int
        let place: Int
        nonisolated(unsafe) let outgoing: UnsafeMutablePointer<ByteRingProducer?>
        nonisolated(unsafe) let incoming: UnsafeMutablePointer<ByteRingConsumer?>
        nonisolated(unsafe) let sending: UnsafePointer<Atomic<Int>>

        init(workers: Int, place: Int, sending: UnsafePointer<Atomic<Int>>) {
            (self.workers, self.place) = (workers, place)
            unsafe self.sending = sending
            unsafe outgoing = .allocate(capacity: workers)
            unsafe incoming = .allocate(capacity: workers)
            for peer in 0..<workers {
                unsafe (outgoing + peer).initialize(to: nil)
                unsafe (incoming + peer).initialize(to: nil)
            }
        }
    }

    init(_ slot: Slot) {
        (workers, place) = (slot.workers, slot.place)
        unsafe (outgoing, incoming, sending) = (slot.outgoing, slot.incoming, slot.sending)
    }

    /// Bytes of the rings of one interface.
    static func byteCount(workers: Int, ringBytes: Int) -> Int { workers * (workers - 1) * ringBytes }

    /// Puts a fragment into the ring to its owner; false if that is full.
    @_noLocks
    mutating func send(_ packet: Arrived, _ bytes: UnsafeRawPointer, to owner: Int) -> Bool {
        let length = packet.entryByteCount
        guard let target = unsafe outgoing[owner]!.reserve(length) else { return false }
        unsafe packet.write(to: target, bytes)
        unsafe outgoing[owner]!.commit(length)
        return true
    }

    /// The next fragment from a peer.
    @_noLocks
    mutating func receive(from peer: Int) -> UnsafeRawPointer? {
        if peer == place { return nil }
        return unsafe incoming[peer]!.peek()
    }

    /// The fragment last received was taken.
    @_noLocks
    mutating func consume(_ packet: Arrived, from peer: Int) {
        unsafe incoming[peer]!.consume(packet.entryByteCount)
    }

    /// Gives a peer the room back.
    @_noLocks
    mutating func release(_ peer: Int) { unsafe incoming[peer]!.release() }

    /// Lets the others see what was put into their rings.
    @_noLocks
    mutating func publish() {
        var peer = 0
        while peer < workers {
            if peer != place { unsafe outgoing[peer]!.publish() }
            peer += 1
        }
    }

    /// This worker hands nothing on any more. Returns whether nobody does.
    @_noLocks
    mutating func endSending() -> Bool {
        if !hasEnded {
            publish()
            hasEnded = true
            unsafe sending.pointee.subtract(1, ordering: .acquiringAndReleasing)
        }
        return unsafe sending.pointee.load(ordering: .acquiring) == 0
    }

    /// Whether the peers' rings to this worker are empty.
    var isEmpty: Bool {
        @_noLocks mutating get {
            var peer = 0
            while peer < workers {
                if unsafe receive(from: peer) != nil { return false }
                peer += 1
            }
            return true
        }
    }
}
