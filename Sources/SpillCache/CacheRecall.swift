internal import Glibc
public import Machine
public import Pcapng
internal import Synchronization

/// The thread that reads what must be known of the batches of a file before they are sent: it walks backwards, from trailer
/// to trailer. The batches themselves it checks shortly before they are sent (`CheckQueue`). Where the trailers are not what
/// they must be, it reads all of the file at once, and what is good of it remains.
public final class CacheRecall: Sendable {
    /// A file to be read.
    public struct Request: Sendable {
        /// Its place in the catalogue.
        public var place: UInt32
        /// Its name.
        public var name: CacheFileName
        /// Where its last batch ends.
        public var end: UInt64
        /// What must be found in it.
        public var expected: Expected

        /// A request.
        public init(place: UInt32, name: CacheFileName, end: UInt64, expected: Expected) {
            (self.place, self.name, self.end, self.expected) = (place, name, end, expected)
        }
    }

    /// What must be found in a file.
    public struct Expected: Sendable {
        /// The run that wrote it.
        public var run: RunIdentity
        /// Its batches and packets.
        public var batches: UInt32, packets: UInt64
        /// Which batches these are, as the footer says; nil for a file of this life.
        public var ranges: [BatchRange]?
        /// Whether an earlier life has written it.
        public var isEarlier: Bool { ranges != nil }

        /// What a footer says, or, without ranges, what was written in this life.
        public init(run: RunIdentity, batches: UInt32, packets: UInt64, ranges: [BatchRange]?) {
            (self.run, self.batches, self.packets, self.ranges) = (run, batches, packets, ranges)
        }
    }

    /// What was found.
    public struct Answer: Sendable {
        /// What was asked for.
        public var request: Request
        /// To send from, the receiver's to close; negative if the file cannot be read.
        public var descriptor: Int32
        /// The good batches, in the order of the file.
        public var batches: [DiskBatch] = []
        /// Which of all batches of the file these are, by their places before some of them were damaged; nil if that cannot
        /// be told.
        public var ordinals: [UInt32]?
        /// The run's interfaces and lanes, where the file is of an earlier life.
        public var description: RunDescription?
        /// Why it cannot be read, nil if it can.
        public var problem: SystemError?
    }

    private let directory: DirectoryHandle
    private let requests = Mutex<[Request]>([])
    private let answers = Mutex<[Answer]>([])
    private let answerWaits = Atomic(false)
    private let signal: WakeSignal
    private let wake: WakeSignal
    /// Where batches are asked for that are to be checked; for the thread that delivers.
    public let checks: CheckQueue

    /// Starts the thread.
    ///
    /// - Parameter wake: woken when there is an answer.
    public init(_ directory: DirectoryHandle, wake: WakeSignal) throws(SystemError) {
        (self.directory, self.wake) = (directory, wake)
        signal = try WakeSignal()
        let (jobs, results) = (try SPSCRing<CheckJob>(capacity: 256), try SPSCRing<CheckJob>(capacity: 256))
        checks = CheckQueue(jobs: jobs.makeProducer(), results: results.makeConsumer(), work: signal)
        let checker = UnsafeMutablePointer<BatchChecker>.allocate(capacity: 1)
        unsafe checker.initialize(
            to: BatchChecker(jobs: jobs.makeConsumer(), results: results.makeProducer(), wake: wake))
        let address = UInt(bitPattern: checker)
        try PinnedThread(name: "recall", cpus: nil) { [self] in
            while true { unsafe turn(&UnsafeMutablePointer<BatchChecker>(bitPattern: address)!.pointee) }
        }.detach()
    }

    /// Asks for a file.
    public func post(_ request: Request) {
        requests.withLock { $0.append(request) }
        signal.wake()
    }

    /// What was found since the last time.
    public func take() -> [Answer] {
        answerWaits.store(false, ordering: .relaxed)
        return takeAll()
    }

    /// Whether something was found since the last time.
    public var hasAnswer: Bool { answerWaits.load(ordering: .acquiring) }

    private func takeAll() -> [Answer] {
        answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
    }

    private func turn(_ checker: inout BatchChecker) {
        signal.announceSleep()
        if requests.withLock({ $0.isEmpty }), !checker.hasWork() {
            var descriptor = pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&descriptor, 1, 1000)
        }
        signal.announceAwake()
        // What waits to be sent goes before what will be sent some day.
        checker.work()
        let next = requests.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        guard let next else { return }
        let answer = answer(next, &checker)
        if let description = answer.description { checker.learn(answer.descriptor, description) }
        answers.withLock { $0.append(answer) }
        answerWaits.store(true, ordering: .releasing)
        wake.wake()
    }

    private func answer(_ request: Request, _ checker: inout BatchChecker) -> Answer {
        var answer = Answer(request: request, descriptor: -1)
        do throws(SystemError) {
            // It may be sealed, and so get its other name, at any moment.
            var name = request.name.sealed
            for candidate in [request.name.sealed, request.name.open, request.name.sealed] {
                name = candidate
                answer.descriptor = directory.openForReading(name)
                if answer.descriptor != -ENOENT { break }
            }
            if answer.descriptor < 0 {
                throw SystemError("open", "\(directory.path)/\(name)", code: -answer.descriptor)
            }
            try find(&answer, name, &checker)
        } catch {
            if answer.descriptor >= 0 { close(answer.descriptor) }
            (answer.descriptor, answer.problem) = (-1, error)
        }
        return answer
    }

    /// Finds the batches of a file that is open. A file has thousands: what waits to be sent is checked in between.
    private func find(
        _ answer: inout Answer, _ name: String, _ checker: inout BatchChecker
    ) throws(SystemError) {
        let (path, expected, end) = ("\(directory.path)/\(name)", answer.request.expected, answer.request.end)
        // What stands before the first batch is only needed where an earlier life has written it.
        let limit = expected.isEarlier ? nil : Int(expected.batches)
        if let walk = try? CacheWalk.run(
            answer.descriptor, to: end, batches: limit, path, between: { checker.work() }),
            CacheWalk.agrees(walk.batches, expected)
        {
            answer.batches = walk.batches
            guard expected.isEarlier else { return }
            answer.description = CacheWalk.description(answer.descriptor, walk.checked)
            if answer.description?.run == expected.run { return }
        }
        (answer.batches, answer.description) = ([], nil)
        var report = CacheScanReport()
        // A file of this life may be sealed, and so get its other name, at any moment.
        for candidate in [name, answer.request.name.sealed] {
            do throws(SystemError) {
                report = try CacheScan.run(candidate, in: directory, limit: end) { batch, _ throws(SystemError) in
                    checker.work()
                    answer.batches.append(DiskBatch(batch.check.trailer, at: batch.offset))
                }
                break
            } catch {
                guard error.code == ENOENT, candidate != answer.request.name.sealed else { throw error }
            }
        }
        answer.description = report.section
        answer.ordinals = Self.ordinals(answer.batches, of: Int(expected.batches), report)
    }

    /// Which places the good batches of a file had, where all that are missing were at one place, or at the end.
    private static func ordinals(_ good: [DiskBatch], of all: Int, _ report: CacheScanReport) -> [UInt32]? {
        guard good.count <= all, report.damagedPlaces + (report.tornBytes > 0 ? 1 : 0) <= 1 else { return nil }
        let (missing, place) = (UInt32(all - good.count), report.damage.first?.offset ?? .max)
        return good.enumerated().map { UInt32($0) + ($1.offset < place ? 0 : missing) }
    }
}
