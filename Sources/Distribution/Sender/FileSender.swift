internal import Glibc
public import Machine
internal import Synchronization

/// Sends files to many receivers at once: it is connected to each, and then writes paths, each of which goes to all of them.
///
/// Receivers that are slow or gone do not hold the others. One thread uses the object; ``status`` may be asked from any.
public final class FileSender {
    private let loop: SendLoop
    private let published = Mutex<[PeerStatus]>([])
    private var failures: [String] = []
    private var skipped: [String] = []
    private var names: Set<String> = []
    private var began: UInt64 = 0
    private var progress: ([PeerStatus]) -> Void = { _ in }

    /// A sender without receivers.
    public init(_ options: SendOptions = SendOptions()) throws(SendError) {
        // sendfile(2) knows no other way to say that a peer is gone than a signal.
        signal(SIGPIPE, SIG_IGN)
        do throws(SystemError) { loop = try SendLoop(options) } catch { throw .kernel(error) }
        loop.onProgress { [unowned self] peers in
            published.withLock { $0 = peers }
            progress(peers)
        }
    }

    deinit { loop.stop() }

    /// Adds a receiver.
    ///
    /// - Parameters:
    ///   - address: what it is called in ``status``.
    ///   - endpoints: where it listens; tried in turn.
    public func connect(to address: String, _ endpoints: [Endpoint]) {
        precondition(!endpoints.isEmpty, "a receiver without an address")
        loop.add(address, endpoints)
    }

    /// Adds a receiver by its numeric address.
    public func connect(to endpoint: Endpoint) { connect(to: "\(endpoint)", [endpoint]) }

    /// Sends a file, or a directory with all that is in it, to all receivers, and returns when each has it or never will.
    public func write(_ path: String) throws(SendError) {
        try add(path)
        flush()
    }

    /// Has a file or a directory sent by the next ``flush()`` or ``finish()``.
    ///
    /// What cannot be read is an error when it is the path itself; within a directory it is a failure of the report,
    /// and what is neither file nor directory is among what the report calls skipped.
    public func add(_ path: String) throws(SendError) {
        if began == 0 { began = Clock.monotonic() }
        let found = try FileTree(of: path)
        failures += found.failures
        skipped += found.skipped
        for (place, file) in found.files.enumerated() {
            guard names.insert(file.name).inserted else {
                throw .unsuitable("\(file.path): there is already something called \(file.name)")
            }
            do throws(SendError) {
                try loop.add(file.path, name: file.name)
            } catch {
                if place == 0 { throw error }
                failures.append("\(error)")
            }
        }
    }

    /// Returns when each receiver has everything that was added, or never will.
    public func flush() { loop.runUntilSettled() }

    /// Sends what was added, says good-bye to all receivers, and returns what became of it all.
    public func finish() -> SendReport {
        loop.runUntilSettled()
        loop.runToEnd()
        return report
    }

    /// How far each receiver is.
    public var status: [PeerStatus] { published.withLock { $0 } }

    /// Has this called a few times a second, on the sending thread.
    public func onProgress(_ body: @escaping ([PeerStatus]) -> Void) { progress = body }

    /// Asks this at every turn; true gives up what is not sent yet.
    public func cancelling(_ body: @escaping () -> Bool) { loop.cancelling(body) }

    /// What became of it so far.
    public var report: SendReport {
        var report = SendReport()
        report.peers = loop.peers.map(\.status)
        report.files = loop.files.filter { $0.announcement.kind == .file }.map {
            ($0.announcement.name, $0.size, $0.root)
        }
        report.failures =
            failures
            + loop.files.compactMap { file in
                file.failure.map { "\(file.path): \($0)" }
            }
        report.skipped = skipped
        report.seconds = began == 0 ? 0 : Double(Clock.monotonic() - began) / 1e9
        return report
    }
}
