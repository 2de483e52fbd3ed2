internal import CFileService
internal import CMachine
internal import Glibc
internal import Machine
internal import Sending
internal import Synchronization

/// One event loop: it accepts connections and serves them, in turns of bounded length, and never waits for a disk or a peer.
@safe final class ServeLoop {
    // Safe because the scratch memory is the loop's own and as long as its uses say.

    let shared: ServeShared
    let wake: WakeSignal
    let epoll: Int32
    let inotify: Int32
    let tools: SendingTools
    let helpers: HelperClient
    /// What comes back from threads that answered for the loop.
    let returns: ReturnBox

    var connections: [Connection?] = []
    var vacant: [Int] = []
    /// Whose turn it is.
    var queue: [Connection] = []
    /// Transfers by their tickets, as long as a helper may have a job of theirs.
    var transfers: [UInt64: Connection] = [:]
    /// Transfers that are over, but for jobs of helpers and for memory that a socket may still hold.
    var departing: [UInt64: Departing] = [:]
    var nextTicket: UInt64 = 1
    /// Connections by the watches of the files they follow.
    var followers: [Int32: [Connection]] = [:]
    var recent = RecentFiles()
    var head = RequestHead()
    let scratch = UnsafeMutableRawPointer.allocate(byteCount: 64 << 10, alignment: 4096)
    /// The date as it is sent, and its second.
    var date: (second: UInt64, text: [UInt8]) = (0, [])
    var now: UInt64 = 0
    var nextTick: UInt64 = 0
    var isDraining = false
    var isListening = true

    /// A transfer that was finished, and when its memory is to be let go of.
    struct Departing {
        var transfer: FileTransfer
        var file: OpenFile
        var use: SharedFiles.Use
        var due: UInt64
        var isFinished = false
    }

    init(_ shared: ServeShared) throws(SystemError) {
        self.shared = shared
        wake = try WakeSignal()
        epoll = epoll_create1(1 << 19 /* EPOLL_CLOEXEC */)
        if epoll < 0 { throw SystemError("epoll_create1") }
        inotify = spillway_inotify()
        if inotify < 0 { throw SystemError("inotify_init1", "", code: -inotify) }
        // Each connection has at most two jobs, and as many transfers again may be on their way out.
        helpers = shared.pool.makeClient(wake: wake, capacity: 16_384)
        tools = try SendingTools(method: shared.options.method, helpers: helpers)
        returns = ReturnBox(wake)
        watch(wake.descriptor, .wake)
        watch(inotify, .inotify)
        for (number, listener) in shared.listeners.enumerated() { watch(listener, .listener(number)) }
    }

    // ---- events --------------------------------------------------------------------------------------------------

    /// Who an event is about, packed into its 64 bits.
    enum Source {
        case wake, inotify
        case listener(Int)
        case connection(Int)

        var word: UInt64 {
            switch self {
            case .wake: 0
            case .inotify: 1
            case .listener(let number): 2 << 32 | UInt64(number)
            case .connection(let place): 3 << 32 | UInt64(place)
            }
        }

        init(_ word: UInt64) {
            switch word >> 32 {
            case 2: self = .listener(Int(word & 0xFFFF_FFFF))
            case 3: self = .connection(Int(word & 0xFFFF_FFFF))
            default: self = word == 0 ? .wake : .inotify
            }
        }
    }

    func watch(_ descriptor: Int32, _ source: Source) {
        var event = unsafe epoll_event()
        unsafe event.events = EPOLLIN.rawValue
        switch source {
        case .listener:
            unsafe event.events |= 1 << 28 /* EPOLLEXCLUSIVE: one loop is woken for a connection, not all */
        case .connection: unsafe event.events |= EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
        case .wake, .inotify: break
        }
        unsafe event.data.u64 = source.word
        _ = unsafe epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event)
    }

    // ---- the loop ------------------------------------------------------------------------------------------------

    /// Runs until it is told to stop and everything is sent, or patience has ended.
    func run() {
        while true {
            now = Clock.monotonic()
            if now >= nextTick {
                nextTick = now &+ 50_000_000
                if tick() { break }
            }
            takeResults()
            turn()
            wake.announceSleep()
            takeResults()
            waitForEvents(
                timeout: queue.isEmpty ? Int32(clamping: (nextTick &- min(now, nextTick)) / 1_000_000 + 1) : 0)
            wake.announceAwake()
        }
        for connection in connections { if let connection { close(connection) } }
        shared.log?.flush()
        Glibc.close(epoll)
        Glibc.close(inotify)
    }

    private func turn() {
        // Whoever is put on the list meanwhile has the next turn.
        let turns = queue
        queue.removeAll(keepingCapacity: true)
        for connection in turns {
            connection.isQueued = false
            advance(connection)
        }
    }

    /// Puts a connection on the list for the next turn.
    func enqueue(_ connection: Connection) {
        guard !connection.isQueued else { return }
        connection.isQueued = true
        queue.append(connection)
    }

    private func waitForEvents(timeout: Int32) {
        var events = unsafe InlineArray<64, epoll_event>(repeating: epoll_event())
        var span = unsafe events.mutableSpan
        let count = unsafe span.withUnsafeMutableBufferPointer { unsafe epoll_wait(epoll, $0.baseAddress, 64, timeout) }
        now = Clock.monotonic()
        guard count > 0 else { return }
        for place in 0..<Int(count) {
            let mask = unsafe events[place].events
            switch unsafe Source(events[place].data.u64) {
            case .wake: break
            case .inotify: takeFileEvents()
            case .listener(let number): accept(number)
            case .connection(let place): handle(mask, place)
            }
        }
    }

    private func handle(_ mask: UInt32, _ place: Int) {
        guard let connection = connections[place] else { return }
        if mask & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0 { connection.isReadable = true }
        if mask & EPOLLOUT.rawValue != 0 { connection.isWritable = true }
        if mask & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { return close(connection, isBroken: true) }
        if mask & EPOLLRDHUP.rawValue != 0 { connection.isHungUp = true }
        enqueue(connection)
    }

    private func takeResults() {
        while let result = helpers.nextResult() {
            let ticket = result.ticket
            if let connection = transfers[ticket] {
                connection.body?.transfer?.take(result)
                enqueue(connection)
            } else if departing[ticket] != nil {
                departing[ticket]!.transfer.take(result)
                let gone = departing[ticket]!
                if gone.isFinished, !gone.transfer.isBusy { forget(gone) }
            }
        }
        for connection in returns.take() { comeBack(connection) }
    }
}
