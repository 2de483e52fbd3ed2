internal import Egress
internal import Machine
internal import SpillCache

/// The directory of the spill cache: opened, and owned by this process alone for as long as it lives.
final class SpillDirectory: Sendable {
    let setup: SpillSetup
    private let lock: DirectoryLock

    init(_ options: RelayOptions.Spill, sensor: String) throws(RelayError) {
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
        self.setup = setup
    }

    /// What is said of it at the start.
    var line: String {
        "cache in \(setup.directory.path), at most \(Size.text(Int(setup.bytes))), files of \(Size.text(Int(setup.files.fileBytes)))"
    }
}
