internal import Machine
internal import Pcapng

/// Batches of one file that follow each other, to be checked before they are sent.
struct CheckJob: BitwiseCopyable, Sendable {
    /// The file's place in the catalogue, and the descriptor to read from.
    var file: UInt32
    var descriptor: Int32
    /// The run that wrote it, and whether that was an earlier one, whose sections the checker knows.
    var run: RunIdentity
    var isEarlier: Bool
    /// Ordinal of the first one, and how many; at most 64.
    var first: UInt32
    var count: UInt32
    /// Where what the catalogue says of the first one lies; it stays as long as the file has its map.
    var batches: UInt
    /// Which of them are not good, a bit each; the answer.
    var bad: UInt64 = 0
    /// Why the file could not be read (errno), 0 if it could; nothing is known then. The same.
    var failure: Int32 = 0

    @_noLocks init(_ file: CatalogueFile, at place: UInt32, first: UInt32, count: UInt32, batches: UInt) {
        self.file = place
        (descriptor, run, isEarlier) = (file.descriptor, file.run, file.runPlace != 0)
        (self.first, self.count, self.batches) = (first, count, batches)
    }
}

/// The delivering thread's end of the way to the one that checks batches. Copies are the same queue.
@safe public struct CheckQueue: @unchecked Sendable {
    // Safe because the rings live as long as the process, and one thread uses this end.
    private let jobs: UnsafeMutablePointer<RingProducer<CheckJob>>
    private let results: UnsafeMutablePointer<RingConsumer<CheckJob>>
    private let work: WakeSignal

    init(
        jobs producer: consuming RingProducer<CheckJob>, results consumer: consuming RingConsumer<CheckJob>,
        work: WakeSignal
    ) {
        unsafe jobs = UnsafeMutablePointer<RingProducer<CheckJob>>.allocate(capacity: 1)
        unsafe results = UnsafeMutablePointer<RingConsumer<CheckJob>>.allocate(capacity: 1)
        unsafe jobs.initialize(to: producer)
        unsafe results.initialize(to: consumer)
        self.work = work
    }

    /// Asks for a check; false while too many are asked for.
    @_noLocks func push(_ job: CheckJob) -> Bool {
        guard unsafe jobs.pointee.push(job) else { return false }
        unsafe jobs.pointee.publish()
        work.wake()
        return true
    }

    /// The next answer, nil if there is none.
    @_noLocks func pop() -> CheckJob? {
        guard let job = unsafe results.pointee.pop() else { return nil }
        unsafe results.pointee.release()
        return job
    }
}
