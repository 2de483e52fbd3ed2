/// What stands behind one reader's stream: bytes by their offset, some of them not there yet. Used under the lock of its
/// stream.
protocol StreamSource: AnyObject {
    /// Reads as much as is at hand from an offset in the stream on.
    func read(_ target: UnsafeMutableRawBufferPointer, at offset: UInt64) -> ReadOutcome
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

extension Chain: StreamSource {}
