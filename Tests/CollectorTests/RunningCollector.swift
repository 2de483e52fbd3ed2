import Glibc
import TestSupport
import Testing

/// A running `spillway collect`. It is killed when the value goes away.
final class RunningCollector {
    let child: ChildProcess
    private let report: String
    private(set) var port: UInt16 = 0

    /// Starts one on a port of the kernel's choice and waits until it listens; `port` is 0 if it died before that.
    init(
        _ folder: String, _ arguments: [String] = [], crashAt: String? = nil, silence: String? = nil, port: UInt16 = 0,
        waits: Bool = true
    ) throws {
        report = makeTemporaryDirectory()
        let words =
            ["collect", "--listen", "127.0.0.1:\(port)", "--out", folder, "--report", "\(report)/report.json"]
            + arguments
        var environment = try Self.withoutOwnVariables()
        if let crashAt { environment.updateValue(crashAt, forKey: "SPILLWAY_CRASH_AT") }
        if let silence { environment.updateValue(silence, forKey: "SPILLWAY_SILENCE_LIMIT") }
        child = try ChildProcess(try builtExecutable("spillway"), words, environment: environment)
        if waits { try waitForPort() }
    }

    deinit {
        child.send(signal: SIGKILL, toGroup: true)
        removeTree(report)
    }

    private func waitForPort() throws {
        let start = "spillway: collecting at 127.0.0.1:"
        // Asked before its output is read, so that what it wrote last is seen.
        while true {
            let isRunning = child.isRunning()
            if let line = child.errorText.split(separator: "\n").first(where: { $0.hasPrefix(start) }),
                child.errorText.contains(" into ")
            {
                port = try #require(UInt16(line.dropFirst(start.count).prefix { $0.isNumber }))
                return
            }
            if !isRunning { return }
            usleep(1000)
        }
    }

    private static func withoutOwnVariables() throws -> [String: String?] {
        let variables = String(decoding: try readFile("/proc/self/environ"), as: UTF8.self).split(separator: "\0")
        let names = variables.map { variable in String(variable.prefix { $0 != "=" }) }.filter {
            $0.hasPrefix("SPILLWAY_")
        }
        return Dictionary(uniqueKeysWithValues: names.map { ($0, nil) })
    }

    /// Kills it at once, as kill -9 does.
    func kill() throws {
        child.send(signal: SIGKILL)
        _ = try child.wait()
    }

    /// Ends it in an orderly way; all files are finished then.
    func stop(sourceLocation: SourceLocation = #_sourceLocation) throws -> CollectReport {
        child.send(signal: SIGTERM)
        let result = try child.wait()
        #expect(result.status == .exited(0), "\(result.errorText)", sourceLocation: sourceLocation)
        return CollectReport(String(decoding: (try? readFile("\(report)/report.json")) ?? [], as: UTF8.self))
    }

    /// Whether it has died by SIGKILL; waits for the end if there is one.
    func hasCrashed() throws -> Bool {
        guard !child.isRunning() else { return false }
        return try child.wait().status == .signalled(SIGKILL)
    }
}

/// The report of a collector: numbers by their names, at any depth.
struct CollectReport {
    let text: String

    init(_ text: String) { self.text = text }

    subscript(name: String) -> UInt64? {
        guard let range = text.range(of: "\"\(name)\": ") else { return nil }
        return UInt64(text[range.upperBound...].prefix { $0.isNumber })
    }
}

extension String {
    fileprivate func range(of other: String) -> Range<String.Index>? { ranges(of: other).first }
}

/// Batches for the tests of the collector.
enum Deliveries {
    static let start: UInt64 = 1_700_000_000_000_000_000

    /// Some batches of a run, with times that go up and down a little, over `minutes`.
    static func batches(
        _ run: SampleRun, _ numbers: Range<UInt64>, worker: UInt16 = 0, lane: UInt16 = 0, packets: Int = 3,
        minutes: UInt64 = 1, length: Int = 24
    ) -> [SampleBatch] {
        numbers.map { number in
            let base = start + number % minutes * 60_000_000_000 + number * 1_000_000
            return SampleBatch(
                (0..<packets).map { place in
                    // The second of each three comes last in time, and batches of workers overlap.
                    let time = base + UInt64((place * 7 + 3) % packets) * 400_000
                    return SamplePacket(
                        time: time, original: UInt32(length + 9),
                        interface: UInt32((Int(number) + place) % run.interfaces.count),
                        bytes: sampleBytes(
                            length, seed: Int(number) * 64 + place + Int(worker) << 20 + Int(run.identity[0]) << 30))
                }, run: run, worker: worker, lane: lane, number: number)
        }
    }

    /// Delivers batches in one session: greets, sends what the collector does not have, waits for all acknowledgements.
    ///
    /// - Returns: whether all are acknowledged; false if the connection broke.
    static func deliver(
        _ batches: [SampleBatch], to port: UInt16, sensor: String = "s", runs: [SampleRun]? = nil,
        ends: Bool = true
    ) throws -> Bool {
        guard port != 0, let player = Player(port: port, sensor: sensor), try player.open(batches, runs: runs) else {
            return false
        }
        for run in Player.runs(of: batches) {
            let own = batches.filter { $0.run.identity == run.identity && !player.had.contains($0.identity) }
            guard !own.isEmpty else { continue }
            let bytes = Player.sectionHeader + Player.preamble(run, lanes: Set(own.map(\.lane))) + own.flatMap(\.bytes)
            guard player.connection.send(bytes) else { return false }
        }
        guard try player.waitAcknowledged(batches) else { return false }
        if ends {
            player.connection.send(Player.end(0))
            player.connection.finish()
        }
        return true
    }

    /// A folder in memory if there is one: many syncs are waited for.
    static var memory: String? { (try? directoryEntries("/dev/shm")) == nil ? nil : "/dev/shm" }
}
