internal import CMachine
internal import Glibc
internal import Machine
internal import SegmentPool

/// A stretch of memory to be appended to the output file.
struct FileJob: BitwiseCopyable {
    var base: UInt
    var length: Int
    var reference: BatchReference
    var packets: UInt32
    var isBatch: Bool
    /// The last job: the thread ends after it.
    var isLast: Bool

    /// Bytes that are no batch; none at all for the last job.
    @_noLocks init(_ bytes: UnsafeRawBufferPointer, isLast: Bool) {
        base = bytes.count == 0 ? 0 : UInt(bitPattern: bytes.baseAddress!)
        length = bytes.count
        reference = BatchReference(segment: 0, ordinal: 0)
        packets = 0
        isBatch = false
        self.isLast = isLast
    }

    /// A batch.
    @_noLocks init(_ bytes: UnsafeRawBufferPointer, _ reference: BatchReference, packets: UInt32) {
        unsafe self.init(bytes, isLast: false)
        self.reference = reference
        self.packets = packets
        isBatch = true
    }
}

/// What became of a job that was a batch.
struct FileResult: BitwiseCopyable {
    var reference: BatchReference
    var packets: UInt32
    var bytes: UInt32
    /// 0, or why it is not in the file (errno).
    var failure: Int32
}

/// The thread that writes `-w`: a slow disk must not hold up the sockets.
@safe struct FileWriter: ~Copyable, @unchecked Sendable {
    // Safe because the memory a job names stays untouched until its result is taken (the index pins the segment).
    private let descriptor: Int32
    private let isSeekable: Bool
    private var jobs: RingConsumer<FileJob>
    private var results: RingProducer<FileResult>
    private let work: WakeSignal
    private let done: WakeSignal
    /// Where the last whole block ends, for a file that can be cut back to it.
    private var good: Int = 0
    /// Why nothing can follow any more (errno): a block that later ones refer to is missing, or half of one is in the
    /// way.
    private var dead: Int32 = 0

    init(
        descriptor: Int32, jobs: consuming RingConsumer<FileJob>, results: consuming RingProducer<FileResult>,
        work: WakeSignal, done: WakeSignal
    ) {
        self.descriptor = descriptor
        isSeekable = lseek(descriptor, 0, SEEK_CUR) >= 0
        self.jobs = jobs
        self.results = results
        self.work = work
        self.done = done
    }

    /// Writes jobs until the last one.
    mutating func run() {
        var isOver = false
        while !isOver {
            while let job = jobs.pop() {
                if job.isLast {
                    isOver = true
                } else {
                    carryOut(job)
                }
                jobs.release()
            }
            if !isOver { waitForWork() }
        }
    }

    private mutating func waitForWork() {
        work.announceSleep()
        if jobs.isEmpty() {
            var descriptor = pollfd(fd: work.descriptor, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&descriptor, 1, 1000)
        }
        work.announceAwake()
    }

    private mutating func carryOut(_ job: FileJob) {
        let failure = dead != 0 ? dead : unsafe append(UnsafeRawPointer(bitPattern: job.base)!, job.length)
        guard job.isBatch else {
            dead = failure
            return
        }
        let result = FileResult(
            reference: job.reference, packets: job.packets, bytes: UInt32(truncatingIfNeeded: job.length),
            failure: failure)
        // There are never more results than jobs were let out, and both rings are of one size.
        let fits = results.push(result)
        precondition(fits, "a result ring as large as the job ring")
        results.publish()
        done.wake()
    }

    /// Appends all of it or, where the file can be cut back, none of it; 0 or an errno.
    private mutating func append(_ bytes: UnsafeRawPointer, _ length: Int) -> Int32 {
        var sent = 0
        while sent < length {
            let count = unsafe write(descriptor, bytes + sent, length - sent)
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                // Standard output may have been given to us non-blocking.
                var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = unsafe poll(&waiting, 1, 1000)
            } else if errno != EINTR {
                let failure = errno
                // A file must end with a whole block; what could not be written whole is taken back.
                if isSeekable, ftruncate(descriptor, good) == 0 {
                    lseek(descriptor, good, SEEK_SET)
                } else if sent > 0 {
                    dead = failure
                }
                return failure
            }
        }
        good += length
        return 0
    }
}
