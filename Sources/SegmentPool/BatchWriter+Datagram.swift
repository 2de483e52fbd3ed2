internal import CMachine
internal import Pcapng

/// Records whose packet the caller puts together in place: fragments that become a datagram, and frames that do not lie in
/// one piece.
extension BatchWriter {
    /// A part of a packet will probably be written soon, so far behind the cursor: the memory there, which was written long
    /// ago, is fetched meanwhile. A guess that is wrong costs little, for something will be written there.
    @_noLocks @inline(__always)
    public func anticipate(from offset: Int, count: Int) {
        let room = unsafe limit - UnsafeMutableRawPointer(cursor) - offset
        if room > 0 { unsafe spillway_prefetch_range_to_write(cursor + offset, min(min(count, room), 2048)) }
    }

    /// Room for the record of a packet with up to `captured` bytes, made from `fragments` frames; returns where the packet's
    /// bytes go, or nil if there is no free segment. `commit` ends it; until then nothing else may be written.
    @_noLocks
    public mutating func reserve(captured: Int, fragments: UInt32) -> UnsafeMutableRawPointer? {
        let needed = Record.byteCount(captured: captured, fragments: fragments)
        if unsafe limit - UnsafeMutableRawPointer(cursor) < needed {
            guard makeRoom(needed) else { return nil }
        }
        return unsafe cursor + Record.dataOffset
    }

    /// The packet is where `reserve` said; its record is made around it.
    ///
    /// - Parameters:
    ///   - captured: bytes to keep, no more than were reserved.
    ///   - fragments: as reserved; more than 1 gives the record a comment that says so.
    @_noLocks
    public mutating func commit(
        time: UInt64, arrival: UInt64, interface: UInt32, captured: UInt32, original: UInt32, fragments: UInt32
    ) {
        unsafe cursor += Record.frame(
            cursor, time: time, interface: interface, captured: captured, original: original, fragments: fragments)
        mergedFrames &+= fragments &- 1
        account(time: time, arrival: arrival, interface: interface)
    }
}
