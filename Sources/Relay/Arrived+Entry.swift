internal import CMachine
internal import Machine

/// A packet in a byte ring: 24 bytes that describe it, then its own.
extension Arrived {
    /// Bytes before a packet in the ring.
    static var entryBytes: Int { @_noLocks get { 24 } }

    /// Bytes it takes in the ring.
    var entryByteCount: Int { @_noLocks @inline(__always) get { roundUp(Self.entryBytes + Int(captured), 8) } }

    /// Reads what describes a packet.
    @_noLocks @inline(__always)
    init(entry: UnsafeRawPointer) {
        unsafe self.init(
            time: entry.load(as: UInt64.self), interface: entry.load(fromByteOffset: 8, as: UInt32.self),
            captured: entry.load(fromByteOffset: 12, as: UInt32.self),
            original: entry.load(fromByteOffset: 16, as: UInt32.self))
    }

    /// Writes a packet with what describes it.
    @_noLocks @inline(__always)
    func write(to target: UnsafeMutableRawPointer, _ bytes: UnsafeRawPointer) {
        unsafe target.storeBytes(of: time, as: UInt64.self)
        unsafe (target + 8).storeBytes(of: interface, as: UInt32.self)
        unsafe (target + 12).storeBytes(of: captured, as: UInt32.self)
        unsafe (target + 16).storeBytes(of: original, as: UInt32.self)
        unsafe spillway_copy(target + Self.entryBytes, bytes, Int(captured))
    }
}
