public import Pcapng

/// A file of the catalogue.
public struct CatalogueFile: BitwiseCopyable, Sendable {
    /// What becomes of it.
    public enum State: UInt8, BitwiseCopyable, Sendable {
        /// There is no file at this place.
        case vacant
        /// It is being written.
        case open
        /// Nothing is added to it any more.
        case closed
        /// It is to be removed as soon as nobody reads from it.
        case leaving
    }

    /// What becomes of it.
    public var state = State.vacant
    /// Some batch of it is bad, and that was said.
    public var isDamaged = false
    /// Checks that are under way, and whether some have found bad batches that are still owed, or could not read (errno).
    var checks: UInt32 = 0
    var hasBad = false, failure: Int32 = 0
    /// The run that wrote it, which is the run of its batches.
    public var run = RunIdentity(low: 0, high: 0)
    /// N and START of its name.
    public var number: UInt64 = 0, start: UInt64 = 0
    /// Batches and packets in it.
    public var batches: UInt32 = 0, packets: UInt64 = 0
    /// Where its last batch ends.
    public var end: UInt64 = 0
    /// Bytes it has on disk, as far as they are counted.
    public var bytes: UInt64 = 0
    /// Arrivals of its batches.
    public var firstArrival: UInt64 = .max, lastArrival: UInt64 = 0
    /// Its map, negative if it has none.
    public var map: Int32 = -1
    /// A descriptor to send from, negative if there is none.
    public var descriptor: Int32 = -1
    /// The run's place among all runs; 0 for the present one.
    public var runPlace: UInt16 = 0
    /// Interfaces that must be described before its batches.
    public var interfaces: UInt32 = 0
    /// Destinations that are not offered its batches now, one bit each.
    var withheld: UInt64 = 0
    /// It could not be read: it is left alone, for the next life to try again.
    public var isGivenUp = false
    /// It was asked for that nothing is added to it any more.
    public var isClosing = false
    /// What is owed of it has changed since it was last written down.
    public var isDirty = false
    /// What a section of its run begins with, in memory that stays, where the run is an earlier one.
    public var header: UInt = 0, headerBytes: UInt32 = 0

    /// No file.
    @_noLocks public init() {}

    /// Its name.
    public var name: CacheFileName { CacheFileName(start: start, run: run, number: number) }
}
