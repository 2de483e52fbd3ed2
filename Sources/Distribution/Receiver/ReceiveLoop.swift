internal import CMachine
internal import Glibc
internal import Machine
internal import Sending
internal import Tokens

/// The one thread of a receiver.
@safe final class ReceiveLoop: EventHandler {
    // Safe because this object owns the memory and frees it.

    let options: ReceiveOptions
    let directory: OutputDirectory
    let events: EventLoop
    let memory: UnsafeMutableRawPointer
    /// For what is passed on to other receivers.
    let tools: SendingTools
    /// The name of the one file that is waited for; nil takes all.
    let singleName: String?
    private let listeners: [Int32]
    private let stopSignal: Int32
    private let console: @Sendable (String) -> Void
    private var connections: [Int32: IncomingConnection] = [:]
    /// Senders' own connections, by session.
    private(set) var announcers: [[UInt8]: IncomingConnection] = [:]
    /// Connections of relays, by session.
    private(set) var relays: [[UInt8]: [IncomingConnection]] = [:]
    /// Which connection writes to the file of a name.
    private var owners: [String: Int32] = [:]
    private var examinations: [(file: IncomingFile, number: UInt32, connection: IncomingConnection)] = []
    private var hasher = PieceHasher()
    var counts = ReceiveReport()
    private(set) var isStopping = false
    private var lastTick: UInt64 = 0

    init(
        _ options: ReceiveOptions, _ directory: OutputDirectory, listeners: [Int32], stopSignal: Int32,
        singleName: String?, console: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        (self.options, self.directory, self.listeners, self.stopSignal) = (options, directory, listeners, stopSignal)
        (self.singleName, self.console) = (singleName, console)
        events = try EventLoop()
        tools = try SendingTools(helpers: nil)
        unsafe memory = .allocate(byteCount: PieceIntake.memoryByteCount, alignment: 64)
    }

    deinit { unsafe memory.deallocate() }

    /// Runs until it is told to stop, or has what it waited for.
    func run() -> ReceiveReport {
        for listener in listeners { events.watch(listener, EventLoop.input, self) }
        events.watch(stopSignal, EventLoop.input, self)
        while !isStopping || connections.values.contains(where: { $0.buffer.waiting > 0 && $0.stage == .ending }) {
            events.turn(milliseconds: examinations.isEmpty ? 500 : 0)
            if !examinations.isEmpty { examineOne() }
            tick()
        }
        for connection in connections.values { connection.close(nil) }
        return counts
    }

    func handle(_ happened: UInt32) {
        // Asked of all: it is cheap, and none of them waits.
        for listener in listeners { accept(from: listener) }
        var entry = pollfd(fd: stopSignal, events: Int16(POLLIN), revents: 0)
        if unsafe poll(&entry, 1, 0) > 0 { stop() }
    }

    private func stop() {
        guard !isStopping else { return }
        isStopping = true
        for connection in connections.values where connection.stage != .ending {
            connection.endInOrder(.leaving, "the receiver stops")
            connection.finishTurn()
        }
    }

    private func accept(from listener: Int32) {
        for _ in 0..<16 {
            let socket = spillway_accept(listener)
            guard socket >= 0 else { return }
            guard let peer = try? Endpoint.peer(of: socket) else {
                closeDescriptor(socket)
                continue
            }
            let isAllowed = options.allow.isEmpty || options.allow.contains { $0.contains(peer) }
            let unproven = connections.values.count { !$0.isProven }
            guard isAllowed, connections.count < ReceiveLimit.connections, unproven < ReceiveLimit.unproven else {
                counts.refusedConnections += 1
                log("\(peer): refused: \(isAllowed ? "too many connections" : "not in --allow")")
                closeDescriptor(socket)
                continue
            }
            var yes: Int32 = 1
            _ = unsafe setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
            let connection = IncomingConnection(socket: socket, peer: peer, loop: self)
            connections[socket] = connection
            connection.finishTurn()
        }
    }

    // ---- what connections tell

    /// The peer may send files.
    func proven(_ connection: IncomingConnection) {
        guard let hello = connection.hello else { return }
        if hello.isRelay {
            relays[hello.session, default: []].append(connection)
            for (number, file) in announcers[hello.session]?.files ?? [:] { connection.sayHave(number, file) }
            return
        }
        // The same sender again: what it had before is a connection that broke without our knowing.
        if let former = announcers[hello.session], former !== connection { former.close("the sender came anew") }
        announcers[hello.session] = connection
        counts.sessions += 1
    }

    /// Makes this connection the one that writes to a file; the one before it was left behind by a sender that started anew.
    func claim(_ name: String, for connection: IncomingConnection) throws(Refusal) {
        if let owner = owners[name], owner != connection.socket, let other = connections[owner] {
            guard Clock.monotonic() - other.lastHeard > 1_000_000_000 else {
                throw Refusal(.busy, "another sender is sending it")
            }
            other.close("left behind by its sender")
        }
        owners[name] = connection.socket
    }

    func examine(_ file: IncomingFile, _ number: UInt32, _ connection: IncomingConnection) {
        examinations.append((file, number, connection))
    }

    /// Looks at one piece that is said to be here; many would keep connections waiting.
    private func examineOne() {
        let (file, number, connection) = examinations[0]
        guard connection.files[number] === file else {
            examinations.removeFirst()
            return
        }
        unsafe file.examine(&hasher, memory)
        if file.nextDoubtful != nil { return }
        examinations.removeFirst()
        connection.examined(number, file)
        connection.finishTurn()
    }

    func finished(_ file: IncomingFile, _ root: TreeHash, from connection: IncomingConnection) {
        owners[file.announcement.name] = nil
        counts.files.append(ReceivedFile(name: file.announcement.name, size: file.announcement.size, root: root))
        log("\(file.announcement.name): \(file.announcement.size) bytes from \(connection.peer), root \(root)")
        if singleName != nil { isStopping = true }
    }

    /// Whether the file that was waited for is here, so that nothing more is wanted.
    var hasAll: Bool { singleName != nil && isStopping && !counts.files.isEmpty }

    func failed(_ name: String, _ refusal: Refusal, from connection: IncomingConnection) {
        owners[name] = owners[name] == connection.socket ? nil : owners[name]
        counts.failures.append("\(name): \(refusal.text)")
        log("\(connection.peer): \(name): refused: \(refusal.text)")
    }

    func refused(_ connection: IncomingConnection, _ problem: ProtocolProblem) {
        counts.refusedConnections += 1
        log("\(connection.peer): refused: \(problem)")
    }

    /// A sender has sent everything it had.
    func senderIsDone(_ connection: IncomingConnection) {
        if options.endsAfterFirst { isStopping = true }
    }

    func remove(_ connection: IncomingConnection, _ why: String?) {
        events.forget(connection.socket)
        connections[connection.socket] = nil
        for (name, owner) in owners where owner == connection.socket { owners[name] = nil }
        if let hello = connection.hello {
            if announcers[hello.session] === connection { announcers[hello.session] = nil }
            relays[hello.session]?.removeAll { $0 === connection }
            if relays[hello.session]?.isEmpty == true { relays[hello.session] = nil }
        }
        closeDescriptor(connection.socket)
        if let why, connection.hello != nil { log("\(connection.peer): \(why)") }
    }

    /// A line for people. Names in it come from somebody who is not trusted, and lines go onto terminals.
    func log(_ line: String) { console(line.printable) }

    /// Closes what takes too long.
    private func tick() {
        let now = Clock.monotonic()
        guard now - lastTick > 500_000_000 else { return }
        lastTick = now
        for connection in connections.values {
            if !connection.isProven, now - connection.began > ReceiveLimit.greetingTime {
                connection.close("nothing was proved in time")
            } else if now - max(connection.lastHeard, connection.began) > options.timeout {
                connection.close("silent for too long")
            }
        }
    }
}

/// close(2), where a method of that name hides it.
func closeDescriptor(_ descriptor: Int32) { close(descriptor) }
