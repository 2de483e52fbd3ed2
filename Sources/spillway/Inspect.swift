import ArgumentParser
import Glibc
import Machine
import Options
import Relay
import SpillCache
import Telemetry

/// `spillway inspect`.
struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look into a cache directory: what is there, whether it is intact; repair and export it.",
        usage: "spillway inspect DIR [--check | --repair | --export FILE]  [options]",
        discussion: """
            Shows files, times, runs, batches, packets and bytes from the footers of sealed files, and
            what each destination is owed; files that are not sealed are read. Nothing is locked and nothing is changed, so the
            cache may be in use, except with --repair: then no relay may have it. What is repaired
            stands in DIR under its name; the damaged file is kept in DIR/damaged.
            --export needs room for the packets, and where they are far out of order for twice as
            much, but no more memory for a large cache than for a small one. A batch that is
            damaged is left out and counted.

            Examples:
              What is in a cache:
                spillway inspect /var/lib/spillway
              Whether every byte of it is as it was written:
                spillway inspect /var/lib/spillway --check
              All packets in one file for tshark:
                spillway inspect /var/lib/spillway --export all.pcapng
              For a script:
                spillway inspect /var/lib/spillway --json

            Exit codes:
              0   done                              71  the kernel refused
              1   --check found damage              73  cannot create output
              64  usage                             74  input or output error
              66  no such directory                 77  not permitted
              69  --repair: a relay has the cache
            """)

    @Argument(help: ArgumentHelp("The directory of a relay's cache.", valueName: "dir"))
    var directory: String

    @OptionGroup(title: "What to do") var task: InspectArguments
    @OptionGroup(title: "Output") var output: InspectOutputArguments
    @OptionGroup(title: "Output") var result: ReportArguments

    func run() throws {
        let options = try Surroundings.options(of: "inspect", given: given, config: result.config) {
            (settings) throws(OptionError) in try InspectOptions(settings)
        }
        try Surroundings.armCrashPoint()
        let report = try options.report.map { path throws(Failure) in try FileOutput(path) }
        let cache = try open()
        var result = InspectResult()
        if case .repair = options.task { result.repairs = try repair(cache) }
        let survey = try survey(cache, depth: options.task == .check ? .everything : .footers)
        do throws(SystemError) { result.owed = try survey.owed(in: cache) } catch { throw Failure(reading: error) }
        result.survey = survey
        if case .export(let path) = options.task { result.export = try export(cache, survey, path) }
        let text = options.isJSON ? result.json.text() : result.text(checked: options.task == .check)
        guard FileOutput.writeAll(Array((text + "\n").utf8), to: STDOUT_FILENO) else {
            throw Failure(.inputOutput, "standard output: \(FileOutput.reason)")
        }
        try report?.write(result.json.text() + "\n")
        if options.task == .check, !survey.faulty.isEmpty {
            throw Failure(.findings, "\(directory): \(result.findings)")
        }
    }

    private func open() throws(Failure) -> DirectoryHandle {
        do throws(SystemError) { return try DirectoryHandle(directory, creating: false) } catch {
            throw Failure(reading: error)
        }
    }

    private func survey(_ cache: DirectoryHandle, depth: CacheSurvey.Depth) throws(Failure) -> CacheSurvey {
        let progress = ByteProgress("looked at")
        defer { progress.end() }
        do throws(SystemError) {
            return try CacheSurvey(cache, depth: depth) { progress.show($0, of: $1) }
        } catch {
            throw Failure(reading: error)
        }
    }

    private func repair(_ cache: DirectoryHandle) throws(Failure) -> [CacheRepair.Outcome] {
        var outcomes: [CacheRepair.Outcome] = []
        do throws(CacheError) {
            let repair = try CacheRepair(cache, application: "spillway \(spillwayVersion) inspect")
            try repair.run { outcome in
                outcomes.append(outcome)
                Console.standard.say("spillway: \(outcome)")
            }
            return outcomes
        } catch {
            switch error {
            case .inUse: throw Failure(.unavailable, "\(error)")
            case .system(let error): throw Failure(writing: error)
            case .version, .damaged: throw Failure(.badData, "\(error)")
            }
        }
    }

    private func export(
        _ cache: DirectoryHandle, _ survey: CacheSurvey, _ path: String
    ) throws(Failure) -> CacheExportReport {
        let progress = ByteProgress("exported")
        defer { progress.end() }
        do throws(SystemError) {
            return try CacheExport.run(
                survey, in: cache, to: path, application: "spillway \(spillwayVersion) inspect"
            ) { progress.show($0, of: $1) }
        } catch {
            throw Failure(writing: error)
        }
    }
}

extension Failure {
    /// Why something cannot be read.
    init(reading error: SystemError) {
        let code: Failure.Code =
            switch error.code {
            case ENOENT, ENOTDIR: .noInput
            case EACCES, EPERM: .notPermitted
            default: .inputOutput
            }
        self.init(code, "\(error)")
    }

    /// Why something cannot be written.
    init(writing error: SystemError) {
        let isCreation = ["open", "mkdir", "flock"].contains(error.call)
        let code: Failure.Code =
            switch error.code {
            case ENOSPC, EDQUOT, EIO: .inputOutput
            case EACCES, EPERM, EROFS: isCreation ? .cannotCreate : .notPermitted
            default: isCreation ? .cannotCreate : .inputOutput
            }
        self.init(code, "\(error)")
    }
}

/// A status line that says how much of some bytes is done, on a terminal.
struct ByteProgress {
    private let verb: String

    init(_ verb: String) { self.verb = verb }

    func show(_ done: UInt64, of total: UInt64) {
        guard Console.standard.isTerminal, total > 0 else { return }
        Console.standard.show("\(verb) \(done >> 20) of \(total >> 20) MiB, \(done * 100 / total) %")
    }

    func end() { Console.standard.show("") }
}
