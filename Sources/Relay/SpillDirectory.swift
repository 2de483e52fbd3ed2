internal import Egress
internal import Machine
internal import SpillCache

/// The directory of the spill cache: opened, and owned by this process alone for as long as it lives.
final class SpillDirectory: Sendable {
    let setup: SpillSetup
    private let lock: DirectoryLock

    init(
        _ options: RelayOptions.Spill, sensor: String, log: @escaping (String) -> Void
    ) throws(RelayError) {
        let directory: DirectoryHandle
        do throws(SystemError) {
            directory = try DirectoryHandle(options.directory, creating: true)
        } catch {
            throw RelayError(.cannotCreate, "--spill \(error)")
        }
        do throws(CacheError) {
            lock = try DirectoryLock(in: directory, owner: "spillway run, sensor \(sensor)")
        } catch {
            throw RelayError(.cannotCreate, "--spill \(error)")
        }
        var setup = SpillSetup(directory: directory, sensor: sensor)
        (setup.bytes, setup.files.fileBytes) = (UInt64(options.bytes), UInt64(options.fileBytes))
        setup.files.syncsWrites = options.sync == .batch
        setup.memoryAge = options.memoryAge
        (setup.replayRate, setup.age) = (UInt64(options.replayRate), options.age)
        switch options.keep {
        case .time(let time): setup.keep = .time(time)
        case .bytes(let bytes): setup.keep = .bytes(UInt64(bytes))
        case nil: break
        }
        switch options.replay {
        case .idle: setup.replay = .idle
        case .eager: setup.replay = .eager
        case .off: setup.replay = .off
        }
        switch options.sync {
        case .none: setup.sync = .none
        case .interval: setup.sync = .interval
        case .batch: setup.sync = .batch
        }
        setup.known = try Self.known(directory, log)
        do throws(SystemError) {
            let earlier = try EarlierFiles(
                in: directory, known: setup.known, application: "Spillway, sensor \(sensor)",
                isDurable: setup.sync != .none, log: log)
            (setup.earlier, setup.lost) = (earlier.files, earlier.lost)
        } catch {
            throw RelayError(.inputOutput, "--spill \(error)")
        }
        setup.files.fileBytes = Self.fileBytes(setup)
        self.setup = setup
    }

    /// Where room ends a whole file has to go: it should be no more than an eighth of all.
    private static func fileBytes(_ setup: SpillSetup) -> UInt64 {
        guard let free = try? setup.directory.freeSpace() else { return setup.files.fileBytes }
        let room = min(setup.bytes, setup.earlier.reduce(free) { $0 + $1.byteCount })
        return min(setup.files.fileBytes, max(1 << 20, room / 8))
    }

    private static func known(
        _ directory: DirectoryHandle, _ log: (String) -> Void
    ) throws(RelayError) -> KnownDestinations? {
        do throws(SystemError) {
            guard let bytes = try directory.content(KnownDestinations.fileName, limit: 1 << 20) else {
                return nil
            }
            do throws(FormatFault) { return try KnownDestinations(bytes) } catch {
                log("--spill: \(directory.path)/\(KnownDestinations.fileName): \(error.reason); begun anew")
                return nil
            }
        } catch {
            throw RelayError(.inputOutput, "--spill \(error)")
        }
    }

    /// What is said of it at the start.
    var line: String {
        "cache in \(setup.directory.path), at most \(Size.text(Int(setup.bytes))), files of \(Size.text(Int(setup.files.fileBytes)))"
    }
}
