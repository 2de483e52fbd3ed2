internal import Glibc
internal import Machine

/// What a disk has refused to the keeper and is tried again, and what has been said of that.
struct UndoneWork {
    private var files: [CacheKeeper.Work] = []
    /// Of small files only the last content counts.
    private var contents: [String: [UInt8]] = [:]
    private var next: UInt64 = 0
    /// What was said last; it is not said again before something has gone well.
    private var said: String?

    private static let interval: UInt64 = 1_000_000_000

    /// Keeps work that has failed. Returns whether that is to be said.
    mutating func add(_ work: CacheKeeper.Work, _ error: SystemError) -> Bool {
        next = Clock.monotonic() &+ Self.interval
        // These would fail again for ever: what they were to be done to is not there, or something else is in its place.
        if error.code != ENOENT, error.code != EEXIST {
            switch work {
            case .seal, .remove, .removeFile: files.append(work)
            case .write(let name, let bytes), .writeIfMissing(let name, let bytes): contents[name] = bytes
            case .setAside, .sync, .lock, .stop: break
            }
        }
        let text = "\(error.call): \(error.code)"
        defer { said = text }
        return said != text
    }

    /// Work is done, and so is what it makes superfluous.
    mutating func isDone(_ work: CacheKeeper.Work) {
        // Nothing was asked of the disk.
        if case .lock = work { return }
        said = nil
        switch work {
        case .write(let name, _), .writeIfMissing(let name, _), .removeFile(let name): contents[name] = nil
        case .remove(let name): contents[OwedFile.name(of: name)] = nil
        case .seal, .setAside, .sync, .lock, .stop: break
        }
    }

    /// What is to be tried again now.
    mutating func takeDue(now: UInt64) -> [CacheKeeper.Work] {
        guard now >= next, !files.isEmpty || !contents.isEmpty else { return [] }
        return takeAll()
    }

    /// Everything.
    mutating func takeAll() -> [CacheKeeper.Work] {
        defer { (files, contents) = ([], [:]) }
        return files + contents.map { .write(name: $0.key, bytes: $0.value) }
    }
}
