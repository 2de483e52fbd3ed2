internal import Machine
internal import Pcapng

/// A datagram of which some fragments are there.
struct Datagram: BitwiseCopyable {
    var key: DatagramKey
    /// When it is given up, by the packet clock.
    var deadline: UInt64
    /// When its first fragment came: the fragment's own stamp.
    var firstTime: UInt64
    /// Bytes of its data, which the last fragment tells; `unknown` before.
    var length: UInt32 = Datagram.unknown
    /// The next datagram with the same bucket, and the neighbours in the order of age.
    var nextInBucket: UInt32 = DatagramTable.none
    var older: UInt32 = DatagramTable.none, newer: UInt32 = DatagramTable.none
    var bucket: UInt32
    /// Its frames in the order in which they came.
    var frames: FrameList = FrameList()
    /// Frames that say nothing new or overlap another one.
    var overlaps: UInt32 = 0
    /// Whether frames overlap that are to be put together by a policy.
    var isOverlapped = false
    /// Whether it is not put together whatever comes: then it has no frames, and this is the reason.
    var spoiledBy: Counter?
    /// The frame whose headers the datagram gets.
    var head: DatagramHead?

    static var unknown: UInt32 { @_noLocks @inline(__always) get { .max } }

    @_noLocks
    init(key: DatagramKey, deadline: UInt64, firstTime: UInt64, bucket: UInt32) {
        (self.key, self.deadline, self.firstTime, self.bucket) = (key, deadline, firstTime, bucket)
    }
}

/// Frames linked by number, first to last.
struct FrameList: BitwiseCopyable {
    var first: UInt32 = FrameStore.none
    var last: UInt32 = FrameStore.none
    var count: UInt32 = 0

    @_noLocks init() {}

    var isEmpty: Bool { @_noLocks @inline(__always) get { first == FrameStore.none } }

    /// Adds a stored frame at the end.
    @_noLocks @inline(__always)
    mutating func append(_ frame: UInt32, in store: borrowing FrameStore) {
        if isEmpty { first = frame } else { Self.link(last, to: frame, in: store) }
        last = frame
        count &+= 1
    }

    /// Adds all frames of another list at the end.
    @_noLocks
    mutating func append(_ other: FrameList, in store: borrowing FrameStore) {
        if other.isEmpty { return }
        if isEmpty { first = other.first } else { Self.link(last, to: other.first, in: store) }
        last = other.last
        count &+= other.count
    }

    @_noLocks @inline(__always)
    private static func link(_ frame: UInt32, to next: UInt32, in store: borrowing FrameStore) {
        var stored = store[frame]
        stored.next = next
        store[frame] = stored
    }
}
