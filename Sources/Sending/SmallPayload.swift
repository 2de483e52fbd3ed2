internal import CSending

/// Payloads so small that copying them beside their header is cheaper than a call of their own.
public enum SmallPayload {
    /// Up to how many bytes are copied unless told otherwise; `serve --copy-below` tells.
    public static var greatest: Int { @_noLocks get { 16 << 10 } }

    /// Reads part of a file that is in memory: true if all of it was; false if it is not in memory, or not in the file.
    @_noLocks public static func read(
        _ descriptor: Int32, from offset: UInt64, into target: UnsafeMutableRawPointer, byteCount: Int
    ) -> Bool {
        unsafe spillway_read_resident(descriptor, target, byteCount, offset) == byteCount
    }

    /// Sends bytes without waiting and without SIGPIPE: how many, or -errno.
    ///
    /// - Parameter more: more follows at once, and may share the segment (MSG_MORE).
    @_noLocks public static func send(
        _ bytes: UnsafeRawPointer, byteCount: Int, to socket: Int32, more: Bool
    ) -> Int {
        unsafe spillway_send(socket, bytes, byteCount, more ? 1 : 0)
    }
}
