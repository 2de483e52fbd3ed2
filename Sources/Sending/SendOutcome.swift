/// What one bounded call of a ``FileTransfer`` came to.
public enum SendOutcome: Sendable, Equatable {
    /// Something was sent and the limit of the call was reached: call again when it is this transfer's turn.
    case progressed
    /// The socket takes no more: call again when it is writable.
    case blocked
    /// The next bytes are not in memory: call again when the helper client has a result for this transfer.
    case loading
    /// All of the range is in the socket.
    case finished
    /// The file ends before the range does. The transfer cannot go on; what was promised to the peer is not there.
    case shrunk
    /// The call failed with this errno: the socket's, or the file's.
    case failed(Int32)
}
