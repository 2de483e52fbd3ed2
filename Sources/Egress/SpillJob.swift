internal import SegmentPool

/// What the spill thread is asked to do.
struct SpillJob: BitwiseCopyable {
    enum Kind: UInt8 {
        /// Write the wanted batches of a segment.
        case sweep
        /// Add nothing more to the file of this number.
        case close
        /// Describe one more lane.
        case lane
        /// The same for all files, and end.
        case end
    }

    var kind: Kind
    var segment: UInt32 = 0
    /// Batches in the segment, and where the set of those that are wanted lies; of a lane the bytes and the place of its block.
    var batches: UInt32 = 0
    var wanted: UInt = 0
    var number: UInt64 = 0

    @_noLocks init(_ kind: Kind, number: UInt64 = 0) {
        self.kind = kind
        self.number = number
    }

    @_noLocks init(segment: UInt32, batches: UInt32, wanted: UnsafeMutablePointer<UInt64>) {
        self.init(.sweep)
        (self.segment, self.batches) = (segment, batches)
        self.wanted = UInt(bitPattern: wanted)
    }
}

/// What the spill thread has to say. Results come in the order of what happened.
struct SpillResult: BitwiseCopyable {
    enum Kind: UInt8 {
        /// A file was begun.
        case begun
        /// Batches are in a file.
        case written
        /// Batches are not.
        case failed
        /// A file takes no more.
        case closed
        /// A job is done.
        case swept
        /// The thread is over.
        case ended
    }

    var kind: Kind
    /// The first batch, and how many from there on.
    var first = BatchReference(segment: 0, ordinal: 0)
    var count: UInt32 = 0
    /// The file.
    var number: UInt64 = 0
    /// Where the first batch begins in the file; of a file that was begun, START of its name.
    var offset: UInt64 = 0
    /// To read from the file; negative if it could not be had.
    var descriptor: Int32 = -1
    /// Why they are not in a file (errno).
    var failure: Int32 = 0

    @_noLocks init(_ kind: Kind) { self.kind = kind }
}
