internal import Machine
internal import Synchronization

/// The threads of a run: started together, waited for together, each leaving its CPU time.
final class ThreadGroup: Sendable {
    /// What a thread does, for the report.
    enum Stage: String, CaseIterable, Sendable {
        case capture, worker, egress
    }

    private let state = Mutex<(running: Int, cpu: [Stage: UInt64])>((0, [:]))
    private let log: @Sendable (String) -> Void

    init(log: @escaping @Sendable (String) -> Void) { self.log = log }

    /// Starts a thread.
    func start(
        _ name: String, _ stage: Stage, cpus: CPUSet, body: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        state.withLock { $0.running += 1 }
        let log = log
        _ = try PinnedThread(name: name, cpus: cpus, pinFailed: { log("\(name): \($0)") }) { [self] in
            body()
            let used = Clock.threadCPU()
            state.withLock { state in
                state.cpu[stage, default: 0] += used
                state.running -= 1
            }
        }
    }

    /// Whether all have ended.
    var isOver: Bool { state.withLock { $0.running == 0 } }

    /// CPU nanoseconds of the threads that have ended.
    func cpu(_ stage: Stage) -> UInt64 { state.withLock { $0.cpu[stage] ?? 0 } }
}
