internal import Machine
internal import Pcapng
internal import SpillCache
internal import Synchronization

/// What a collector must not forget of a sensor: its runs, and which batches are in finished files or will never come.
/// Used by the main thread and by the one that makes files.
final class SensorState: Sendable {
    /// Who presented a run, and when it was last presented.
    struct RunClaim: Equatable, Sendable {
        /// The name by which the relay calls this collector; empty if it is not known any more.
        var destination: String
        /// Nanoseconds since 1970 UTC.
        var presented: UInt64
    }

    struct Content: Equatable, Sendable {
        var generation: UInt64 = 0
        var runs: [RunIdentity: RunClaim] = [:]
        var settled = BatchSet()

        static func == (left: Content, right: Content) -> Bool {
            (left.generation, left.runs, left.settled.ranges) == (right.generation, right.runs, right.settled.ranges)
        }
    }

    /// The sensor's name.
    let name: String
    private let content: Mutex<Content>
    private let saving = Mutex(())

    init(name: String, _ content: Content = Content()) {
        self.name = name
        self.content = Mutex(content)
    }

    /// What is in it now.
    var present: Content { content.withLock { $0 } }

    /// Adds batches that need not come any more.
    func settle(_ ranges: [BatchRange]) {
        content.withLock { content in
            for range in ranges {
                content.settled.insert(range)
                if content.runs[range.lane.run] == nil {
                    content.runs[range.lane.run] = RunClaim(destination: "", presented: Clock.realtime())
                }
            }
        }
    }

    /// Notes that a run was presented.
    func claim(_ run: RunIdentity, _ claim: RunClaim) { content.withLock { $0.runs[run] = claim } }

    /// Forgets runs.
    func forget(_ runs: [RunIdentity]) {
        content.withLock { content in
            for run in runs {
                content.runs[run] = nil
                content.settled.remove(run: run)
            }
        }
    }

    /// Writes both copies.
    func save(in directory: DirectoryHandle) throws(SystemError) {
        // One at a time, so that an older state cannot replace a newer one.
        let result = saving.withLock { _ in
            Result { () throws(SystemError) in
                let bytes = content.withLock { content in
                    content.generation += 1
                    return StateFile.bytes(content)
                }
                try directory.replace("\(name).state", with: bytes)
                CrashPoint.sealStateWritten.pass()
                try directory.replace("\(name).copy", with: bytes)
                CrashPoint.sealCopyWritten.pass()
            }
        }
        try result.get()
    }

    /// Reads the states of all sensors of a directory, and says of each whether no copy was damaged.
    ///
    /// - Parameter noteDamaged: gets the path of a copy that is damaged where the other one is not.
    static func load(
        from directory: DirectoryHandle, noteDamaged: (String) -> Void
    ) throws(CollectorError) -> [(state: SensorState, isWhole: Bool)] {
        let names: [String]
        do throws(SystemError) { names = try directory.names() } catch { throw .inputOutput(error) }
        let sensors = Set(
            names.filter { $0.hasSuffix(".state") || $0.hasSuffix(".copy") }.map { name in
                String(name[..<name.lastIndex(of: ".")!])
            })
        return try sensors.sorted().map { sensor throws(CollectorError) in
            let copies = ["\(sensor).state", "\(sensor).copy"]
            var found: [Content] = []
            var reasons: [String] = []
            for copy in copies {
                do throws(SystemError) {
                    guard let bytes = try directory.content(copy, limit: CollectorLimit.stateBytes) else { continue }
                    switch StateFile.content(bytes) {
                    case .success(let content): found.append(content)
                    case .failure(let fault): reasons.append("\(directory.path)/\(copy): damaged: \(fault.reason)")
                    }
                } catch {
                    throw .inputOutput(error)
                }
            }
            guard let latest = found.max(by: { $0.generation < $1.generation }) else {
                throw .badState(
                    "\(reasons.joined(separator: "; ")); without it batches that come again would be in two files; "
                        + "to accept that, remove both copies")
            }
            reasons.forEach(noteDamaged)
            return (SensorState(name: sensor, latest), reasons.isEmpty)
        }
    }
}
