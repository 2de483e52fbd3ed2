internal import Glibc
internal import Machine
internal import Pcapng
internal import SegmentPool
internal import SpillCache

/// The thread that writes batches into cache files: a slow disk must not hold up the sockets.
@safe struct SpillThread: ~Copyable, @unchecked Sendable {
    // Safe because the segments it is lent stay as they are until it has said that it is done with them.
    private let pool: SegmentPool
    private var jobs: RingConsumer<SpillJob>
    private let results: SpillResults
    private let work: WakeSignal
    private let files: SpillFiles
    private let directory: DirectoryHandle
    private let keeper: CacheKeeper
    /// What is not written yet stays unwritten.
    private let cancelled: StopFlag
    private let interfaces: InterfaceView
    private var description: RunDescription
    private var trailers: [BatchTrailer] = []

    /// Bytes that are written at once, at most, beside single batches that are larger.
    private static let writeBytes = 1 << 20

    init(
        _ setup: SpillSetup, pool: SegmentPool, run: RunIdentity, interfaces: InterfaceView, lanes: [[UInt8]],
        jobs: consuming RingConsumer<SpillJob>, results: SpillResults, work: WakeSignal, keeper: CacheKeeper,
        permit: FilePermit, cancelled: StopFlag
    ) {
        self.pool = pool
        self.jobs = jobs
        self.results = results
        self.work = work
        self.interfaces = interfaces
        (self.keeper, self.cancelled) = (keeper, cancelled)
        directory = setup.directory
        description = RunDescription(run: run)
        for lane in lanes { _ = description.add(lane: lane) }
        files = SpillFiles(
            in: setup.directory, run: run, sensor: setup.sensor, limits: setup.files, mayBegin: { $0 <= permit.files }
        ) { file in
            var result = SpillResult(.closed)
            result.number = file.number
            results.push(result)
            keeper.seal(file)
        }
    }

    /// Works until it is told to end.
    mutating func run() {
        while true {
            while let job = jobs.pop() {
                jobs.release()
                switch job.kind {
                case .sweep: sweep(job)
                case .close: files.close(number: job.number)
                case .lane: describe(job)
                case .end:
                    files.closeAll()
                    results.push(SpillResult(.ended))
                    results.publish()
                    return
                }
                results.publish()
            }
            waitForWork()
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

    /// Writes the wanted batches of a segment, those that lie together and belong to one file at once.
    private mutating func sweep(_ job: SpillJob) {
        let wanted = unsafe UnsafePointer<UInt64>(bitPattern: job.wanted)!
        var ordinal: UInt32 = 0
        var failure: Int32 = 0
        while ordinal < job.batches, !cancelled.isSet {
            guard unsafe wanted[Int(ordinal >> 6)] >> UInt64(ordinal & 63) & 1 == 1 else {
                ordinal += 1
                continue
            }
            let first = BatchReference(segment: job.segment, ordinal: ordinal)
            // Once it fails the rest of the segment is not tried: it would only take longer to say the same.
            let count = unsafe gather(first, wanted: wanted, end: failure == 0 ? job.batches : ordinal + 1)
            if failure == 0 {
                do throws(SystemError) { try write(first, count) } catch { failure = error.code }
            }
            if failure != 0 {
                var result = SpillResult(.failed)
                (result.first, result.count, result.failure) = (first, count, failure)
                results.push(result)
            }
            ordinal += count
        }
        var result = SpillResult(.swept)
        result.first = BatchReference(segment: job.segment, ordinal: 0)
        results.push(result)
    }

    /// How many batches from the first on are wanted, lie together, and fit into one file; at least one.
    private mutating func gather(_ first: BatchReference, wanted: UnsafePointer<UInt64>, end: UInt32) -> UInt32 {
        trailers.removeAll(keepingCapacity: true)
        var reference = first
        var bytes = 0
        var window: UInt64 = 0
        var room = (bytes: 0, batches: 0)
        while reference.ordinal < end,
            unsafe wanted[Int(reference.ordinal >> 6)] >> UInt64(reference.ordinal & 63) & 1 == 1
        {
            let batch = unsafe pool.batch(reference)
            let trailer = unsafe BatchTrailer(reading: batch.baseAddress! + batch.count - BatchTrailer.byteCount)
            let its = files.window(of: trailer.leastTime)
            if trailers.isEmpty {
                window = its
                room = files.room(in: window)
            } else if its != window || trailers.count >= room.batches || bytes + batch.count > room.bytes
                || bytes + batch.count > Self.writeBytes
            {
                break
            }
            trailers.append(trailer)
            bytes += batch.count
            reference.ordinal += 1
        }
        return UInt32(trailers.count)
    }

    private mutating func write(_ first: BatchReference, _ count: UInt32) throws(SystemError) {
        describe()
        do throws(SystemError) { try writeOnce(first, count) } catch {
            // Where somebody has removed the directory a new one takes its place.
            guard error.code == ENOENT, try directory.renew() else { throw error }
            keeper.say("the directory \(directory.path) was removed; it is made anew")
            try writeOnce(first, count)
        }
    }

    private mutating func writeOnce(_ first: BatchReference, _ count: UInt32) throws(SystemError) {
        let results = results
        let file = try files.file(
            for: files.window(of: trailers[0].leastTime), linkType: description.linkType ?? 1
        ) { file in
            var result = SpillResult(.begun)
            (result.number, result.offset) = (file.number, file.name.start)
            result.descriptor = file.openForReading()
            results.push(result)
        }
        let last = unsafe pool.batch(BatchReference(segment: first.segment, ordinal: first.ordinal + count - 1))
        let start = unsafe pool.batch(first).baseAddress!
        let length = unsafe last.baseAddress! + last.count - start
        // A file that is full is closed by this, and must be heard of after the batches that filled it.
        results.holdBack()
        defer { results.letGo() }
        let offset = try unsafe files.append(
            UnsafeRawBufferPointer(start: start, count: length), trailers, of: description, to: file)
        var result = SpillResult(.written)
        (result.first, result.count, result.number, result.offset) = (first, count, file.number, offset)
        results.pushFirst(result)
    }

    /// Takes in a lane that was added while the run goes on.
    private mutating func describe(_ lane: SpillJob) {
        let start = unsafe UnsafeRawPointer(bitPattern: lane.wanted)
        _ = description.add(
            lane: unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: Int(lane.batches))))
    }

    /// Takes in interfaces that were met since the last time.
    private mutating func describe() {
        let (known, now) = (description.interfaces.count, interfaces.count)
        guard known < now else { return }
        for place in known..<now {
            let block = unsafe [UInt8](interfaces.descriptions(from: place, to: place + 1))
            _ = description.add(interface: block)
        }
    }
}

/// The way of results to the egress thread. The spill thread alone puts them in.
final class SpillResults {
    private var ring: RingProducer<SpillResult>
    private let wake: WakeSignal
    private var held: [SpillResult]?

    init(_ ring: consuming RingProducer<SpillResult>, wake: WakeSignal) {
        self.ring = ring
        self.wake = wake
    }

    /// Adds a result; waits while there is no room.
    func push(_ result: SpillResult) {
        if held != nil {
            held!.append(result)
            return
        }
        while !ring.push(result) {
            publish()
            Clock.sleep(nanoseconds: 50_000)
        }
    }

    /// Makes results visible.
    func publish() {
        ring.publish()
        wake.wake()
    }

    /// Keeps results until `letGo`.
    func holdBack() { held = [] }

    /// Adds a result before those that are kept.
    func pushFirst(_ result: SpillResult) { held!.insert(result, at: 0) }

    func letGo() {
        let kept = held ?? []
        held = nil
        for result in kept { push(result) }
    }
}
