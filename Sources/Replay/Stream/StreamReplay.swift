internal import Glibc
public import Machine
internal import Sending
public import SpillCache
internal import Synchronization

/// Sends the batches of a cache to destinations, newest first, without copying them. The cache may belong to a running relay:
/// nothing in it is locked or changed, and nothing counts as delivered there.
public enum StreamReplay {
    /// What is to be sent, and to whom.
    public struct Job: Sendable {
        /// Where to send it.
        public var destinations: [StreamDestination]
        /// The sensor's name.
        public var sensor: String
        /// Nanoseconds without progress after which a destination is given up.
        public var patience: UInt64 = 10_000_000_000
        /// Goes into section headers.
        public var application: String

        /// A job with the usual patience.
        public init(destinations: [StreamDestination], sensor: String, application: String) {
            (self.destinations, self.sensor, self.application) = (destinations, sensor, application)
        }
    }

    /// Sends everything, to each destination on a thread of its own, until each has everything, has been given up, or a
    /// signal comes.
    ///
    /// - Parameters:
    ///   - survey: of the cache; batches that come later are not sent.
    ///   - log: told what happens, by any thread.
    public static func run(
        _ job: Job, _ survey: CacheSurvey, in directory: DirectoryHandle, log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) -> StreamReplayReport {
        let stock = CacheStock.all(survey, in: directory)
        var report = try run(job, log) { player in
            for one in stock { player.play(one) }
        }
        let leftOut = CacheStock.leftOut(survey)
        report.damagedPlaces += leftOut.reduce(0) { $0 + $1.damagedPlaces }
        report.problems = leftOut.flatMap(\.faults) + report.problems
        report.batches = stock.reduce(0) { $0 + $1.batches }
        report.packets = stock.reduce(0) { $0 + $1.packets }
        return report
    }

    /// Sends capture files as they are to plain readers, all at the same time.
    public static func run(
        _ job: Job, _ files: PlainFiles, log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) -> StreamReplayReport {
        var report = try run(job, log) { $0.play(files) }
        report.packets = files.packets
        return report
    }

    private static func run(
        _ job: Job, _ log: @escaping @Sendable (String) -> Void, _ play: @escaping @Sendable (StreamPlayer) -> Void
    ) throws(SystemError) -> StreamReplayReport {
        let signals = try StopSignals()
        let began = Clock.monotonic()
        let stop = StopFlag()
        let results = Results(count: job.destinations.count)
        for (place, destination) in job.destinations.enumerated() {
            let tools = try SendingTools(helpers: nil)
            try PinnedThread(name: "replay-\(place)", cpus: nil) {
                let player = StreamPlayer(destination, job, tools, stop, log)
                play(player)
                results.put(player.outcome, place)
            }.detach()
        }
        while !results.isComplete {
            if signals.wait(nanoseconds: 50_000_000) { stop.set() }
        }
        var report = results.report
        report.seconds = Double(Clock.monotonic() - began) / 1e9
        return report
    }

    /// Where threads leave what they have to say.
    private final class Results: Sendable {
        private let outcomes: Mutex<[StreamPlayer.Outcome?]>

        init(count: Int) { outcomes = Mutex([StreamPlayer.Outcome?](repeating: nil, count: count)) }

        func put(_ outcome: StreamPlayer.Outcome, _ place: Int) { outcomes.withLock { $0[place] = outcome } }

        var isComplete: Bool { outcomes.withLock { $0.allSatisfy { $0 != nil } } }

        var report: StreamReplayReport {
            var report = StreamReplayReport()
            for outcome in outcomes.withLock({ $0.compactMap(\.self) }) {
                report.destinations.append(outcome.destination)
                // Each reads the same files; who got furthest has seen most.
                report.damagedPlaces = max(report.damagedPlaces, outcome.damagedPlaces)
                if outcome.problems.count > report.problems.count { report.problems = outcome.problems }
            }
            return report
        }
    }
}
