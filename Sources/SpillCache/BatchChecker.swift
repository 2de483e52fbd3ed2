internal import Glibc
internal import Machine
internal import Pcapng

/// Checks batches against their checksums and against what the catalogue says of them, a batch at a time, by pread(2) into
/// memory that stays in the processor's cache.
@safe struct BatchChecker: ~Copyable {
    // Safe because the memory belongs to this value, and jobs name maps that stay while they are under way.
    private var jobs: RingConsumer<CheckJob>
    private var results: RingProducer<CheckJob>
    private let wake: WakeSignal
    /// What the sections of files say, by the descriptors their batches are sent from.
    private var descriptions: [Int32: RunDescription] = [:]
    private var memory: UnsafeMutableRawBufferPointer

    init(jobs: consuming RingConsumer<CheckJob>, results: consuming RingProducer<CheckJob>, wake: WakeSignal) {
        self.jobs = jobs
        self.results = results
        self.wake = wake
        unsafe memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 64)
    }

    deinit { unsafe memory.deallocate() }

    /// Batches that are sent from this descriptor belong to this section.
    mutating func learn(_ descriptor: Int32, _ description: RunDescription) { descriptions[descriptor] = description }

    /// Whether somebody waits.
    mutating func hasWork() -> Bool { !jobs.isEmpty() }

    /// Does what was asked for.
    mutating func work() {
        while var job = jobs.pop() {
            jobs.release()
            for place in 0..<job.count where !isGood(&job, place) { job.bad |= 1 << UInt64(place) }
            // There is room for as many answers as there can be questions.
            while !results.push(job) { Clock.sleep(nanoseconds: 100_000) }
            results.publish()
            wake.wake()
        }
    }

    private mutating func isGood(_ job: inout CheckJob, _ place: UInt32) -> Bool {
        let expected = unsafe UnsafePointer<DiskBatch>(bitPattern: job.batches)![Int(place)]
        guard Int(expected.bytes) <= BatchCheck.byteLimit, read(expected, for: &job),
            let check = unsafe BatchCheck(memory.baseAddress!, byteCount: Int(expected.bytes)),
            check.trailer.run == job.run, DiskBatch(check.trailer, at: expected.offset).isSame(as: expected)
        else { return false }
        // The descriptions of the present run are in memory, not in the file.
        guard job.isEarlier else { return true }
        guard let section = descriptions[job.descriptor] else { return false }
        return section.matches(check.trailer.interfaceCRC, greatest: check.greatestInterface)
    }

    private mutating func read(_ batch: DiskBatch, for job: inout CheckJob) -> Bool {
        let count = Int(batch.bytes)
        if unsafe count > memory.count {
            unsafe memory.deallocate()
            unsafe memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
        }
        var filled = 0
        while filled < count {
            let got = unsafe pread(
                job.descriptor, memory.baseAddress! + filled, count - filled, off_t(batch.offset) + off_t(filled))
            if got < 0, errno == EINTR { continue }
            if got < 0 { job.failure = errno }
            guard got > 0 else { return false }
            filled += got
        }
        return true
    }
}

extension DiskBatch {
    /// Whether both say the same.
    func isSame(as other: DiskBatch) -> Bool {
        (offset, arrival, number) == (other.offset, other.arrival, other.number)
            && (bytes, packets, worker, lane) == (other.bytes, other.packets, other.worker, other.lane)
    }
}
