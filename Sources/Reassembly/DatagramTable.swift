internal import Fragments
internal import Machine

/// Unfinished datagrams: found by key through a hash table, and in the order of age through a list.
@safe struct DatagramTable: ~Copyable {
    // Safe because the memory is the creator's gift for good, and every number comes from a list kept here.
    private let datagrams: UnsafeMutablePointer<Datagram>
    private let covers: UnsafeMutablePointer<FixedFragmentList<UInt16>>
    private let buckets: UnsafeMutablePointer<UInt32>
    private let bucketMask: UInt64
    /// Places there are, and datagrams in them.
    let capacity: Int
    private(set) var count = 0
    private var firstFree: UInt32 = 0
    /// The oldest datagram and the newest one.
    private(set) var oldest = DatagramTable.none
    private var newest = DatagramTable.none

    /// No datagram.
    static var none: UInt32 { @_noLocks @inline(__always) get { .max } }
    /// Pieces of a datagram that may lie apart from each other. 32 are enough for any order of the fragments of 64 KiB over
    /// an MTU of 1500.
    static var pieces: Int { @_noLocks get { 32 } }
    /// Datagrams in one bucket at most: chance does not bring so many together.
    static var chainLimit: Int { @_noLocks get { 16 } }

    /// Bytes that a table of this many places takes.
    static func byteCount(capacity: Int) -> Int {
        capacity * (MemoryLayout<Datagram>.stride + MemoryLayout<FixedFragmentList<UInt16>>.stride)
            + capacity * FixedFragmentList<UInt16>.byteCount(capacity: pieces) + bucketCount(capacity) * 4
    }

    private static func bucketCount(_ capacity: Int) -> Int {
        capacity <= 1 ? 1 : 1 << (Int.bitWidth - (capacity - 1).leadingZeroBitCount)
    }

    /// - Parameter memory: `byteCount(capacity:)` bytes, aligned to 16 and used by nobody else from now on.
    init(memory: UnsafeMutableRawPointer, capacity: Int) {
        let listBytes = FixedFragmentList<UInt16>.byteCount(capacity: Self.pieces)
        unsafe datagrams = memory.bindMemory(to: Datagram.self, capacity: capacity)
        let lists = unsafe memory + capacity * MemoryLayout<Datagram>.stride
        unsafe covers = lists.bindMemory(to: FixedFragmentList<UInt16>.self, capacity: capacity)
        let ranges = unsafe lists + capacity * MemoryLayout<FixedFragmentList<UInt16>>.stride
        let heads = unsafe ranges + capacity * listBytes
        let bucketCount = Self.bucketCount(capacity)
        unsafe buckets = heads.bindMemory(to: UInt32.self, capacity: bucketCount)
        unsafe buckets.initialize(repeating: Self.none, count: bucketCount)
        bucketMask = UInt64(bucketCount - 1)
        self.capacity = capacity
        for place in 0..<capacity {
            let range = unsafe UnsafeMutableRawBufferPointer(start: ranges + place * listBytes, count: listBytes)
            unsafe (covers + place).initialize(to: FixedFragmentList<UInt16>(memory: range))
            var datagram = Datagram(key: DatagramKey(), deadline: 0, firstTime: 0, bucket: 0)
            datagram.nextInBucket = place + 1 < capacity ? UInt32(place + 1) : Self.none
            unsafe (datagrams + place).initialize(to: datagram)
        }
    }

    /// A datagram; the pointer is good until it is removed.
    @_noLocks @inline(__always)
    func datagram(_ number: UInt32) -> UnsafeMutablePointer<Datagram> {
        assert(number < capacity)
        return unsafe datagrams + Int(number)
    }

    /// Which of its bytes are there.
    @_noLocks @inline(__always)
    func cover(_ number: UInt32) -> UnsafeMutablePointer<FixedFragmentList<UInt16>> {
        assert(number < capacity)
        return unsafe covers + Int(number)
    }

    /// The datagram with this key, or `none`.
    @_noLocks @inline(__always)
    func find(_ key: DatagramKey, hash: UInt64) -> UInt32 {
        var number = unsafe buckets[Int(hash & bucketMask)]
        while number != Self.none {
            let candidate = unsafe datagram(number)
            if unsafe candidate.pointee.key.isSame(key) { return number }
            number = unsafe candidate.pointee.nextInBucket
        }
        return Self.none
    }

    var isFull: Bool { @_noLocks @inline(__always) get { count == capacity } }

    /// The oldest datagram of a bucket that holds no more; `none` if it takes another one.
    @_noLocks
    func crowdedOut(hash: UInt64) -> UInt32 {
        var number = unsafe buckets[Int(hash & bucketMask)]
        var (length, last) = (0, Self.none)
        while number != Self.none {
            // New ones go in at the front.
            (last, length) = (number, length + 1)
            number = unsafe datagram(number).pointee.nextInBucket
        }
        return length >= Self.chainLimit ? last : Self.none
    }

    /// Adds a datagram as the newest. There must be a place.
    @_noLocks
    mutating func add(_ key: DatagramKey, hash: UInt64, deadline: UInt64, firstTime: UInt64) -> UInt32 {
        let number = firstFree
        let bucket = UInt32(truncatingIfNeeded: hash & bucketMask)
        let place = unsafe datagram(number)
        firstFree = unsafe place.pointee.nextInBucket
        var datagram = Datagram(key: key, deadline: deadline, firstTime: firstTime, bucket: bucket)
        datagram.nextInBucket = unsafe buckets[Int(bucket)]
        datagram.older = newest
        unsafe place.pointee = datagram
        unsafe buckets[Int(bucket)] = number
        if newest != Self.none { unsafe self.datagram(newest).pointee.newer = number } else { oldest = number }
        newest = number
        unsafe cover(number).pointee.removeAll()
        count += 1
        return number
    }

    /// Removes a datagram, whose frames have found another place.
    @_noLocks
    mutating func remove(_ number: UInt32) {
        let place = unsafe datagram(number)
        let (older, newer, next) = unsafe (place.pointee.older, place.pointee.newer, place.pointee.nextInBucket)
        if older != Self.none { unsafe datagram(older).pointee.newer = newer } else { oldest = newer }
        if newer != Self.none { unsafe datagram(newer).pointee.older = older } else { newest = older }
        let bucket = Int(unsafe place.pointee.bucket)
        if unsafe buckets[bucket] == number {
            unsafe buckets[bucket] = next
        } else {
            var before = unsafe buckets[bucket]
            while unsafe datagram(before).pointee.nextInBucket != number {
                before = unsafe datagram(before).pointee.nextInBucket
            }
            unsafe datagram(before).pointee.nextInBucket = next
        }
        unsafe place.pointee.nextInBucket = firstFree
        firstFree = number
        count -= 1
    }
}
