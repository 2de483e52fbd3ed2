internal import Glibc
internal import Machine
internal import SpillCache
internal import Synchronization

/// A journal's file that is to become a finished file.
struct SealJob: Sendable {
    var journal: CacheFileName
    var state: SensorState
    var linkType: UInt16
    var extent: UInt64
    var ranges: [BatchRange]
    var packets: UInt64
    /// The wanted name without suffix.
    var base: String
    /// What is known of the journal's file; nil if it has to be read.
    var index: JournalIndex?
}

/// What became of a job.
struct SealOutcome: Sendable {
    var job: SealJob
    /// The file; nil if it has not been made and never will be in this life.
    var file: FinishedFile?
    /// What went wrong; with a file, or while it is tried again.
    var problem: SystemError?
    /// Whether the job is done with.
    var isFinal: Bool
}

/// The thread that makes finished files, one after the other. What fails is tried again until the collector stops.
final class Sealer: Sendable {
    private let jobs: Mailbox<SealJob>
    /// What became of jobs, for the main thread.
    let outcomes: Mailbox<SealOutcome>
    private let places: CollectorPlaces
    private let application: String
    private let stop = StopFlag()
    private let ended = Atomic<Bool>(false)
    /// CPU time of the thread so far.
    private let cpu = Atomic<UInt64>(0)

    init(_ places: CollectorPlaces, application: String) throws(SystemError) {
        jobs = try Mailbox()
        outcomes = try Mailbox()
        (self.places, self.application) = (places, application)
    }

    /// Nanoseconds of CPU time.
    var cpuTime: UInt64 { cpu.load(ordering: .relaxed) }

    func start() throws(SystemError) {
        try PinnedThread(name: "seal", cpus: nil) { [self] in
            run()
            ended.store(true, ordering: .releasing)
        }.detach()
    }

    func post(_ job: SealJob) { jobs.post(job) }

    /// Lets the thread end: at once when nothing is left, and after the present attempt where one fails.
    func finish() {
        stop.set()
        jobs.wake()
    }

    /// Whether the thread has ended.
    var hasEnded: Bool { ended.load(ordering: .acquiring) }

    private func run() {
        var waiting: [SealJob] = []
        while true {
            waiting += jobs.take()
            var failed: [SealJob] = []
            for job in waiting {
                if !make(job) { failed.append(job) }
                cpu.store(Clock.threadCPU(), ordering: .relaxed)
            }
            waiting = failed
            if stop.isSet, jobs.isEmpty { return }
            jobs.wait(milliseconds: waiting.isEmpty ? -1 : 500)
        }
    }

    /// False if it has to be tried again.
    private func make(_ job: SealJob) -> Bool {
        var index = job.index
        index?.finish()
        let sealing = Sealing(
            places: places, journal: job.journal, state: job.state, linkType: job.linkType, application: application,
            index: index)
        let file: FinishedFile
        do throws(SystemError) {
            file = try sealing.make(extent: job.extent, ranges: job.ranges, base: job.base)
        } catch {
            outcomes.post(SealOutcome(job: job, file: nil, problem: error, isFinal: stop.isSet))
            return stop.isSet
        }
        var problem: SystemError?
        while true {
            do throws(SystemError) {
                try sealing.conclude(ranges: job.ranges)
                break
            } catch {
                // The file is there; the next life concludes it if this one cannot.
                problem = error
                if stop.isSet { break }
                Clock.sleep(nanoseconds: 500_000_000)
            }
        }
        outcomes.post(SealOutcome(job: job, file: file, problem: problem, isFinal: true))
        return true
    }
}
