/// What stands behind one reader's stream: bytes by their offset, some of them not there yet. Used under the lock of its
/// stream.
protocol StreamSource: AnyObject {
    /// Reads from an offset in the stream on, as much as one file has there.
    func readOnce(_ target: UnsafeMutableRawBufferPointer, at position: UInt64) -> ReadOutcome
    /// Reads from the file that is being read, and only what is sure to be given on; 0 bytes where that is not known.
    func readAhead(_ target: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int
    /// Until when somebody who waits is to be looked after again at the latest, by the monotonic clock.
    var deadline: UInt64? { get }
    /// Whether names of the directory changed since they were looked at.
    var namesChanged: Bool { get set }
    /// What to watch for changes.
    var watchTargets: WatchTargets { get }
    /// What `.status` says.
    func status(_ name: String, _ state: String) -> [String]
}

extension StreamSource {
    /// Reads as much as is at hand from an offset in the stream on.
    func read(_ target: UnsafeMutableRawBufferPointer, at offset: UInt64) -> ReadOutcome {
        var filled = 0
        while filled < target.count {
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: target[filled...])
            let step = unsafe readOnce(rest, at: offset + UInt64(filled))
            guard case .bytes(let count) = step else { return filled > 0 ? .bytes(filled) : step }
            filled += count
        }
        return .bytes(filled)
    }
}

extension Chain: StreamSource {}
