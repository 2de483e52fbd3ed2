import ArgumentParser
import Machine
import Options
import Relay
import Replay
import SpillCache
import Telemetry
import Tokens

extension Replay {
    /// Sends the batches of a cache to destinations.
    func send(
        cache path: String, _ options: ReplayOptions, _ destinations: [Options.Destination], _ output: FileOutput?
    ) throws {
        if options.speed != nil {
            throw Failure(.usage, "--pace: a cache goes to destinations as fast as they take it")
        }
        let token = try Self.token(options.tokenFile)
        let streams = try destinations.map { try StreamDestination($0, token: token) }
        try Self.conclude(try Self.play(path, streams, options, Console.standard), output)
    }

    /// Sends capture files as they are, where nobody acknowledges and their bytes are what is sent anyway; false if they are
    /// not such files.
    func sendWhole(
        _ options: ReplayOptions, _ destinations: [Options.Destination], _ output: FileOutput?
    ) throws -> Bool {
        let arePlain = destinations.allSatisfy {
            $0.ack == Options.Acknowledgement.none && $0.wire == .pcapng && $0.order == nil && $0.address != nil
        }
        guard arePlain, options.speed == nil, !options.inputs.contains("-"), let files = PlainFiles(options.inputs)
        else { return false }
        let streams = try destinations.map { try StreamDestination($0, token: nil) }
        var job = StreamReplay.Job(
            destinations: streams, sensor: "", application: "Spillway \(spillwayVersion) replay")
        job.patience = options.drainTimeout ?? job.patience
        let report: StreamReplayReport
        do throws(SystemError) {
            report = try StreamReplay.run(job, files) { Console.standard.say("spillway: \($0)", waits: false) }
        } catch {
            throw Failure(reading: error)
        }
        try Self.conclude(report, output)
        return true
    }

    private static func conclude(_ report: StreamReplayReport, _ output: FileOutput?) throws {
        for line in report.lines { Console.standard.say(line) }
        try output?.write(report.json.text() + "\n")
        if report.destinations.contains(where: { $0.problem != nil || $0.unsentPackets > 0 }) {
            throw ArgumentParser.ExitCode(Failure.Code.unavailable.rawValue)
        }
        if report.damagedPlaces > 0 || !report.problems.isEmpty {
            throw ArgumentParser.ExitCode(Failure.Code.badData.rawValue)
        }
    }

    private static func play(
        _ path: String, _ destinations: [StreamDestination], _ options: ReplayOptions, _ console: Console
    ) throws(Failure) -> StreamReplayReport {
        let (directory, survey) = try read(path)
        guard !survey.files.isEmpty else { throw Failure(.noInput, "\(path): no cache files in it") }
        do throws(SystemError) {
            if let owner = survey.owner {
                console.say("spillway: \(path): in use by \(owner); nothing in it is changed")
            }
            // A collector knows a run under the name of the sensor that presented it first.
            let sensor = options.name ?? survey.sensor(in: directory) ?? Values.name(from: Surroundings.hostName)
            var job = StreamReplay.Job(
                destinations: destinations, sensor: sensor, application: "Spillway \(spillwayVersion) replay")
            job.patience = options.drainTimeout ?? job.patience
            return try StreamReplay.run(job, survey, in: directory) { console.say("spillway: \($0)", waits: false) }
        } catch {
            throw Failure(reading: error)
        }
    }

    private static func read(_ path: String) throws(Failure) -> (DirectoryHandle, CacheSurvey) {
        do throws(SystemError) {
            let directory = try DirectoryHandle(path, creating: false)
            return (directory, try CacheSurvey(directory, depth: .footers))
        } catch {
            throw Failure(reading: error)
        }
    }

    private static func token(_ path: String?) throws(Failure) -> Token? {
        guard let path else { return nil }
        do throws(TokenFileError) { return try Token(file: path) } catch { throw Failure(error) }
    }
}

extension StreamDestination {
    /// A destination as it was written.
    fileprivate init(_ destination: Options.Destination, token: Token?) throws(Failure) {
        guard let address = destination.address else {
            throw Failure(.usage, "--to null: nothing would be sent; give HOST:PORT")
        }
        guard destination.wire == .pcapng, destination.order != .oldestFirst else {
            throw Failure(
                .usage,
                "--to \(address): a cache goes out as pcapng, newest first; for anything else make a file of it "
                    + "with 'spillway inspect DIR --export FILE'")
        }
        do throws(ResolutionError) {
            self.init(
                name: destination.name, address: address.description,
                endpoints: try Endpoint.resolve(host: address.host, port: address.port))
        } catch {
            throw Failure(.unavailable, "--to \(address): \(error.reason)")
        }
        self.token = token
        switch destination.ack {
        case .required: ack = .required
        case .some(.none): ack = .none
        case .auto, nil: ack = .auto
        }
        if token != nil, ack == .none {
            throw Failure(.usage, "--to \(address): ack=none and --token-file: a plain reader cannot prove anything")
        }
    }
}
