internal import CFuse
import Glibc
import Machine
import Synchronization

/// A stream that can wait for files to change.
protocol FollowedStream: AnyObject, Sendable {
    var identifier: UInt64 { get }
    /// What the stream would have to be told about.
    func watchTargets() -> WatchTargets
    /// Something may have changed: answers what can be answered.
    ///
    /// - Returns: whether somebody still waits, and until when at most, by the monotonic clock.
    func wake(namesChanged: Bool) -> (isWaiting: Bool, deadline: UInt64?)
}

/// The paths whose changes a stream waits for.
struct WatchTargets: Equatable, Sendable {
    /// The directory, relative to the source.
    var directory: String
    /// Paths of open files below /proc.
    var files: [String]
    var polls: Bool
}

/// The thread that wakes waiting streams when their files change.
///
/// inotify(7) tells of changes where the source's file system has it; other sources are looked at ten times a second while
/// somebody waits. Nothing is watched for streams in which nobody waits.
final class Follower: Sendable {
    private struct Followed {
        let stream: any FollowedStream
        var targets: WatchTargets
        var descriptors: [Int32]
        var deadline: UInt64?
        var isPolled: Bool
    }

    private struct State {
        var streams: [UInt64: Followed] = [:]
        /// The streams behind each watch of inotify.
        var watchers: [Int32: Set<UInt64>] = [:]
        var directories: Set<Int32> = []
    }

    private let source: SourceTree
    private let log: @Sendable (String) -> Void
    private let inotify: Int32
    private let signal: Int32
    private let state = Mutex(State())
    private let stopped = Atomic<Bool>(false)

    /// Between two looks at a source that does not tell of changes, in nanoseconds.
    private static let pollInterval: UInt64 = 100_000_000
    private static let directoryMask =
        UInt32(IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_MODIFY | IN_DELETE_SELF)
    private static let fileMask = UInt32(IN_MODIFY | IN_CLOSE_WRITE)

    init(_ source: SourceTree, log: @escaping @Sendable (String) -> Void) throws(SystemError) {
        self.source = source
        self.log = log
        inotify = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
        signal = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        if signal < 0 { throw SystemError("eventfd") }
        if inotify < 0 { log("inotify: \(SystemError("inotify_init1").reason); looking at files instead") }
    }

    deinit {
        if inotify >= 0 { close(inotify) }
        close(signal)
    }

    /// Sees to it that a stream is woken when its files change from now on. To be called before the last look at them.
    func watch(_ stream: any FollowedStream) {
        let targets = stream.watchTargets()
        state.withLock { state in
            let known = state.streams[stream.identifier]
            if let known, known.targets == targets { return }
            if known != nil { Self.remove(stream.identifier, &state, inotify) }
            state.streams[stream.identifier] = add(stream, targets, &state)
        }
    }

    /// Somebody waits in a stream that was watched before it was looked at for the last time.
    func wait(_ stream: any FollowedStream, until deadline: UInt64?) {
        let targets = stream.watchTargets()
        let needsLook = state.withLock { state in
            if state.streams[stream.identifier] == nil {
                // The watch was taken away in between, for want of readers. What happened meanwhile went unseen.
                state.streams[stream.identifier] = add(stream, targets, &state)
                state.streams[stream.identifier]?.deadline = Clock.monotonic()
                return true
            }
            state.streams[stream.identifier]?.deadline = deadline
            return deadline != nil || state.streams[stream.identifier]?.isPolled == true
        }
        if needsLook { nudge() }
    }

    /// Forgets a stream.
    func forget(_ identifier: UInt64) {
        state.withLock { Self.remove(identifier, &$0, inotify) }
    }

    /// Ends `run`.
    func stop() {
        stopped.store(true, ordering: .releasing)
        nudge()
    }

    /// Serves until stopped; the body of a thread.
    func run() {
        while !stopped.load(ordering: .acquiring) {
            let timeout = nextLook()
            var entries = [
                pollfd(fd: signal, events: Int16(POLLIN), revents: 0),
                pollfd(fd: inotify, events: Int16(POLLIN), revents: 0),
            ]
            _ = unsafe poll(&entries, 2, timeout)
            if entries[0].revents != 0 {
                var count: UInt64 = 0
                _ = unsafe read(signal, &count, 8)
            }
            var woken: [UInt64: Bool] = [:]
            if entries[1].revents != 0 { takeEvents(&woken) }
            takeDue(&woken)
            for (identifier, namesChanged) in woken { wake(identifier, namesChanged) }
        }
    }

    private func wake(_ identifier: UInt64, _ namesChanged: Bool) {
        guard let stream = state.withLock({ $0.streams[identifier]?.stream }) else { return }
        let (isWaiting, deadline) = stream.wake(namesChanged: namesChanged)
        guard isWaiting else {
            forget(identifier)
            return
        }
        // The stream may be in another file by now. It was looked at before the watch moved, so it is once more.
        let before = state.withLock { $0.streams[identifier]?.targets }
        if before != stream.watchTargets() {
            watch(stream)
            let again = stream.wake(namesChanged: false)
            if again.isWaiting { wait(stream, until: again.deadline) }
        } else {
            wait(stream, until: deadline)
        }
    }

    private func add(_ stream: any FollowedStream, _ targets: WatchTargets, _ state: inout State) -> Followed {
        var followed = Followed(
            stream: stream, targets: targets, descriptors: [], deadline: nil, isPolled: targets.polls)
        guard !targets.polls, inotify >= 0 else {
            followed.isPolled = true
            return followed
        }
        var watches: [Int32] = []
        if let directory = try? source.open(targets.directory, spillway_path_only()) {
            let watch = unsafe inotify_add_watch(inotify, "/proc/self/fd/\(directory)", Self.directoryMask)
            if watch >= 0 { state.directories.insert(watch) }
            watches.append(watch)
            close(directory)
        } else {
            watches.append(-1)
        }
        for file in targets.files { unsafe watches.append(inotify_add_watch(inotify, file, Self.fileMask)) }
        followed.isPolled = watches.contains { $0 < 0 }
        followed.descriptors = watches.filter { $0 >= 0 }
        for watch in followed.descriptors { state.watchers[watch, default: []].insert(stream.identifier) }
        return followed
    }

    private static func remove(_ identifier: UInt64, _ state: inout State, _ inotify: Int32) {
        guard let followed = state.streams.removeValue(forKey: identifier) else { return }
        for watch in followed.descriptors {
            state.watchers[watch]?.remove(identifier)
            guard state.watchers[watch]?.isEmpty == true else { continue }
            state.watchers[watch] = nil
            state.directories.remove(watch)
            inotify_rm_watch(inotify, watch)
        }
    }

    /// Milliseconds until somebody is due, -1 for nobody.
    private func nextLook() -> Int32 {
        state.withLock { state in
            let now = Clock.monotonic()
            let due = state.streams.values.compactMap { followed -> UInt64? in
                let polled = followed.isPolled ? now + Self.pollInterval : nil
                return [followed.deadline, polled].compactMap { $0 }.min()
            }
            guard let next = due.min() else { return -1 }
            return next <= now ? 0 : Int32((next - now) / 1_000_000 + 1)
        }
    }

    private func takeDue(_ woken: inout [UInt64: Bool]) {
        let now = Clock.monotonic()
        let due = state.withLock { state in
            state.streams.filter { $0.value.isPolled || ($0.value.deadline ?? .max) <= now }.map(\.key)
        }
        for identifier in due { woken[identifier] = true }
    }

    private func takeEvents(_ woken: inout [UInt64: Bool]) {
        unsafe withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 8) { buffer in
            while true {
                let count = unsafe read(inotify, buffer.baseAddress!, buffer.count)
                guard count > 0 else { return }
                state.withLock { state in
                    unsafe Self.take(UnsafeRawBufferPointer(rebasing: buffer[..<count]), state, &woken)
                }
            }
        }
    }

    private static func take(_ events: UnsafeRawBufferPointer, _ state: State, _ woken: inout [UInt64: Bool]) {
        var offset = 0
        while offset + 16 <= events.count {
            let watch = unsafe events.loadUnaligned(fromByteOffset: offset, as: Int32.self)
            let mask = unsafe events.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
            let length = unsafe events.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self)
            offset += 16 + Int(length)
            if mask & UInt32(IN_Q_OVERFLOW) != 0 {
                for identifier in state.streams.keys { woken[identifier] = true }
                continue
            }
            let isDirectory = state.directories.contains(watch)
            for identifier in state.watchers[watch] ?? [] {
                woken[identifier] = (woken[identifier] ?? false) || isDirectory
            }
        }
    }

    private func nudge() {
        var one: UInt64 = 1
        _ = unsafe write(signal, &one, 8)
    }
}
