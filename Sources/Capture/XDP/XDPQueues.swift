import Glibc

/// The queues of an interface until their threads take them.
@safe struct XDPQueues: ~Copyable, @unchecked Sendable {
    // Safe because each place is taken once, by the thread that then owns the queue.
    private let places: UnsafeMutablePointer<XDPQueue?>
    private let capacity: Int
    private(set) var numbers: [UInt32] = []
    private(set) var isZeroCopy = true
    private var areFragmentsTaken = true
    private var frameRoom = Int.max

    init(capacity: Int) {
        self.capacity = capacity
        unsafe places = .allocate(capacity: capacity)
        for place in 0..<capacity { unsafe (places + place).initialize(to: nil) }
    }

    deinit {
        unsafe places.deinitialize(count: capacity)
        unsafe places.deallocate()
    }

    mutating func append(_ queue: consuming XDPQueue) {
        isZeroCopy = isZeroCopy && queue.isZeroCopy
        areFragmentsTaken = areFragmentsTaken && queue.takesFragments
        frameRoom = min(frameRoom, queue.frameRoom)
        let place = numbers.count
        numbers.append(queue.queue)
        unsafe places[place] = consume queue
    }

    borrowing func take(_ place: Int) -> XDPQueue { unsafe places[place].take()! }

    /// Whether packets in several buffers arrive, if the program takes them, and what one buffer holds.
    func takesFragments(and program: Bool) -> (Bool, Int) { (areFragmentsTaken && program, frameRoom) }
}

/// A file descriptor that is closed with its owner.
struct OwnedDescriptor: ~Copyable {
    let number: Int32

    deinit { if number >= 0 { close(number) } }

    init(_ number: Int32) { self.number = number }
}
