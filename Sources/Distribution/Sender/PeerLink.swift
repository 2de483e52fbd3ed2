internal import CMachine
internal import Fragments
internal import Glibc
internal import Machine
internal import Sending
internal import Tokens

/// The connection to one receiver, made again when it breaks, and how far the receiver is.
final class PeerLink: EventHandler {
    /// Where the conversation is.
    enum Stage { case waiting, connecting, welcome, files, ending, done, failed }

    private let endpoints: [Endpoint]
    unowned let loop: SendLoop
    private(set) var stage = Stage.waiting
    private(set) var status: PeerStatus
    private var socket: Int32 = -1
    private var attempts = 0
    private var retryTime: UInt64 = 0
    /// When there was progress last: something was verified, or something new was to be sent.
    var lastProgress = Clock.monotonic()
    private var hello: Greeting.Hello?
    var buffer = MessageBuffer()

    /// What is to be said as soon as no bytes of a file are under way: between the head of DATA and its bytes nothing may stand.
    var orders: [Message] = []

    /// Files announced and not settled, by their numbers, which are in order.
    var deliveries: [UInt32: Delivery] = [:]
    var order: [UInt32] = []
    /// Files that are done with, and the next one to look at.
    private var settled: Set<UInt32> = []
    private var next = 0
    /// Files that somebody else is sending to this receiver, which are offered again.
    private var postponed = PostponedFiles()
    /// Verified bytes of settled files.
    private var settledBytes: UInt64 = 0

    /// The receiver that brings the bytes; nil if the sender does.
    private(set) weak var relay: PeerLink?
    /// Whether one has ever done so.
    private(set) var hadRelay = false
    /// Whether none shall any more.
    private var isBypassed = false

    /// The run of pieces being sent.
    var run: SendRun?
    var limit: RateLimit
    /// Whether it waits for the socket, for a helper, or until a time.
    var isBlocked = false, isLoading = false
    var pausedUntil: UInt64 = 0
    private var samples: [(time: UInt64, bytes: UInt64)] = []

    init(_ address: String, _ endpoints: [Endpoint], _ loop: SendLoop) {
        (self.endpoints, self.loop) = (endpoints, loop)
        status = PeerStatus(address: address)
        limit = RateLimit(loop.options.peerRate, now: Clock.monotonic())
    }

    /// Whether nothing more becomes of it.
    var isOver: Bool { stage == .done || stage == .failed }
    /// Whether it has everything there is so far, or never will.
    var isSettled: Bool { isOver || (stage == .files && run == nil && settled.count == loop.files.count) }
    /// Whether it can go on without waiting for anything.
    var isReady: Bool { stage == .files && !isBlocked && !isLoading && pausedUntil == 0 && run != nil }

    // ---- connecting

    /// Does what is due.
    func tick(_ now: UInt64) {
        if isOver { return }
        for number in postponed.givenUp(now, timeout: loop.options.timeout) { note(number, isDone: false) }
        if stage != .waiting, !isSettled, now - lastProgress > loop.options.timeout {
            return fail(.broken(status.error ?? "no progress for \(loop.options.timeout / 1_000_000_000) s"))
        }
        if stage == .waiting, now >= retryTime { connect() }
        if pausedUntil != 0, now >= pausedUntil { pausedUntil = 0 }
    }

    /// When it wants to be looked at again; nil if only events matter.
    var deadline: UInt64? { stage == .waiting ? retryTime : pausedUntil != 0 ? pausedUntil : postponed.nextTime }

    private func connect() {
        let endpoint = endpoints[attempts % endpoints.count]
        attempts += 1
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        socket = Glibc.socket(endpoint.family, type, 0)
        guard socket >= 0 else { return fail(.broken(reason(errno))) }
        var yes: Int32 = 1
        _ = unsafe setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        stage = .connecting
        let result = unsafe endpoint.withSocketAddress { unsafe Glibc.connect(socket, $0, $1) }
        if result != 0, errno != EINPROGRESS { return fail(.broken("cannot connect: \(reason(errno))")) }
        loop.events.watch(socket, EventLoop.output, self)
    }

    private func greet() throws(ProtocolProblem) {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        _ = unsafe getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length)
        if code != 0 { throw .broken("cannot connect: \(reason(code))") }
        status.connections += 1
        let hello = Greeting.Hello(session: loop.session, challenge: randomBytes(32))
        self.hello = hello
        buffer.say(Message.framed(.hello, hello.encoded()))
        stage = .welcome
    }

    func handle(_ happened: UInt32) {
        do throws(ProtocolProblem) {
            if stage == .connecting { try greet() }
            if happened & (EventLoop.input | EventLoop.broken) != 0 { try read() }
            isBlocked = false
            try pump()
        } catch {
            fail(error)
        }
    }

    /// Goes on with sending, if it can.
    func goOn() {
        guard stage == .files, !isBlocked, !isLoading, pausedUntil == 0 else { return }
        do throws(ProtocolProblem) { try pump() } catch { fail(error) }
    }

    private func pump() throws(ProtocolProblem) {
        if stage == .files { try send() } else { isBlocked = try !buffer.flush(socket) }
        guard socket >= 0, !isOver else { return }
        loop.events.watch(socket, EventLoop.input | (isBlocked ? EventLoop.output : 0), self)
    }

    // ---- listening

    private func read() throws(ProtocolProblem) {
        for _ in 0..<256 {
            guard socket >= 0, let (kind, body, _) = try buffer.next(socket) else { return }
            guard let kind = Message.Kind(rawValue: kind), kind != .data else {
                throw .malformed("a message of kind \(kind)")
            }
            if kind == .welcome {
                try takeWelcome(body)
            } else {
                try take(Message(kind, body))
            }
        }
    }

    private func takeWelcome(_ body: [UInt8]) throws(ProtocolProblem) {
        guard stage == .welcome, let hello else { throw .malformed("a greeting that does not belong here") }
        buffer.say(try Greeting.answer(toWelcome: body, hello: hello, token: loop.options.token))
        stage = .files
        status.state = .sending
    }

    private func take(_ message: Message) throws(ProtocolProblem) {
        switch message {
        case .have(let number, let pieces, let evidence):
            guard let delivery = deliveries[number] else { return }
            try delivery.answer(pieces, evidence, onItsWay: run?.number == number ? run?.pieces : nil)
        case .progress(let number, let bytes):
            try deliveries[number]?.acknowledge(bytes, isRelayed: hadRelay)
            lastProgress = Clock.monotonic()
        case .again(let number, let pieces):
            guard let delivery = deliveries[number] else { return }
            try delivery.sendAgain(pieces)
            status.resentPieces += pieces.lengthSum
            delivery.file.check(delivery.descriptor)
            if delivery.repeats > 1000 { throw .broken("pieces arrive damaged again and again") }
        case .done(let number, let root):
            guard let delivery = deliveries[number] else { return }
            if delivery.file.announcement.kind == .file {
                guard delivery.isRootTold, root == delivery.file.root else {
                    throw .falseClaim("\(delivery.file.announcement.name): done, with root \(root)")
                }
            }
            settle(number, isDone: true)
        case .refused(let number, let refusal):
            guard let delivery = deliveries[number] else { return }
            status.error = "\(delivery.file.announcement.name): \(refusal.text)"
            if case .busy = refusal.code { postpone(number) } else { settle(number, isDone: false) }
        case .forwardFailed(let address, let words):
            for peer in loop.peers where peer.relay === self && peer.endpointText == address {
                peer.bypassRelay("\(status.address) cannot pass on to it: \(words)")
            }
        case .end(let code, let words):
            // A receiver that waited for one file says so when it has it.
            guard stage == .ending || (code == .done && order.isEmpty && isSettled) else { throw .ended(code, words) }
            stage = .done
            status.state = .done
            disconnect()
        default: throw .malformed("what only senders say")
        }
    }

    // ---- files

    /// Announces the next files, so many that the peer's answers are there when their turn comes.
    func announce() {
        for number in postponed.due(Clock.monotonic()) { announce(loop.files[Int(number)]) }
        while order.count < 64, next < loop.files.count {
            let file = loop.files[next]
            next += 1
            if !settled.contains(file.number) { announce(file) }
        }
        status.totalBytes = loop.totalBytes
    }

    private func announce(_ file: SourceFile) {
        let isFile = file.announcement.kind == .file
        let descriptor = isFile ? file.open() : -1
        guard let descriptor, file.failure == nil else {
            if descriptor != nil { file.release() }
            status.error = "\(file.announcement.name): \(file.failure ?? "cannot open")"
            note(file.number, isDone: false)
            return
        }
        deliveries[file.number] = Delivery(file, descriptor: descriptor)
        order.append(file.number)
        buffer.say(.file(file.announcement))
    }

    /// Offers a file again later: another sender, or what was left of an earlier one, has it in hand.
    private func postpone(_ number: UInt32) {
        guard let delivery = deliveries.removeValue(forKey: number) else { return }
        order.removeAll { $0 == number }
        if delivery.descriptor >= 0 { delivery.file.release() }
        postponed.add(number, Clock.monotonic())
    }

    /// A file is done with here.
    func settle(_ number: UInt32, isDone: Bool) {
        guard let delivery = deliveries.removeValue(forKey: number) else { return }
        order.removeAll { $0 == number }
        if delivery.descriptor >= 0 { delivery.file.release() }
        if isDone { settledBytes += delivery.file.size }
        note(number, isDone: isDone)
    }

    private func note(_ number: UInt32, isDone: Bool) {
        settled.insert(number)
        postponed.remove(number)
        if isDone { status.filesDone += 1 } else { status.filesFailed += 1 }
        lastProgress = Clock.monotonic()
    }

    /// A file cannot be sent after all; the peer was told.
    func withdrawn(_ number: UInt32, _ why: String) {
        status.error = "\(deliveries[number]?.file.announcement.name ?? ""): \(why)"
        settle(number, isDone: false)
    }

    /// Bytes were sent.
    func sent(_ bytes: UInt64) { status.sentBytes += bytes }

    /// Takes note of a wrong claim, for people.
    func disproved(_ delivery: Delivery) {
        status.error = "\(delivery.file.announcement.name): claimed what it does not have; all of it is sent"
    }

    /// Says that there is nothing more.
    func finish() {
        guard stage == .files, isSettled else { return }
        buffer.say(.end(.done, ""))
        stage = .ending
        lastProgress = Clock.monotonic()
        do throws(ProtocolProblem) { try pump() } catch { fail(error) }
    }

    /// The present figures.
    func update(_ now: UInt64) {
        status.acknowledgedBytes = settledBytes + deliveries.values.reduce(0) { $0 + $1.acknowledgedBytes }
        status.file = order.first.flatMap { deliveries[$0]?.file.announcement.name } ?? ""
        samples.append((now, status.acknowledgedBytes))
        if samples.count > 12 { samples.removeFirst() }
        guard let first = samples.first, now > first.time, status.acknowledgedBytes >= first.bytes else { return }
        status.rate = Double(status.acknowledgedBytes - first.bytes) * 1e9 / Double(now - first.time)
    }

    // ---- relays

    /// The address that others can reach it by.
    private var endpointText: String { "\(endpoints[(max(attempts, 1) - 1) % endpoints.count])" }

    /// Lets another receiver bring the bytes, once both are there.
    func use(relay other: PeerLink) {
        guard relay == nil, !isBypassed, stage == .files, other.stage == .files else { return }
        relay = other
        hadRelay = true
        lastProgress = Clock.monotonic()
        other.orders.append(.forward(to: endpointText))
        other.goOn()
    }

    /// Looks whether the relay is of any use.
    func checkRelay(_ now: UInt64) {
        guard let other = relay else {
            // One that is not even there does not hold up those behind it either.
            if stage == .files, waitsForRelay, now - lastProgress > loop.patience {
                bypassRelay("its relay is not there")
            }
            return
        }
        if other.stage != .files, other.stage != .ending, other.stage != .done {
            return bypassRelay("\(other.status.address), its relay, is gone")
        }
        // It has something to give, and does not.
        let isBehind = other.presentBytes >= presentBytes + (4 << 20) || (other.isSettled && !isSettled)
        if isBehind, now - lastProgress > loop.patience {
            bypassRelay("\(other.status.address), its relay, does not pass on")
        }
    }

    /// Has the sender bring what is missing, after asking what that is.
    private func bypassRelay(_ why: String) {
        relay = nil
        isBypassed = true
        status.bypasses += 1
        status.error = why
        for number in order {
            guard let delivery = deliveries[number], delivery.file.announcement.kind == .file else { continue }
            delivery.forgetAnswer()
            orders.append(.file(delivery.file.announcement))
        }
        goOn()
    }

    /// Whether the sender has to wait for a relay that is going to be there, rather than send by itself.
    var waitsForRelay: Bool { !isBypassed && loop.parent(of: self).map { !$0.isOver } ?? false }

    private var presentBytes: UInt64 { settledBytes + deliveries.values.reduce(0) { $0 + $1.acknowledgedBytes } }

    // ---- the end

    /// Gives up this connection; and the peer, if it is of no use to try again.
    func fail(_ problem: ProtocolProblem) {
        let now = Clock.monotonic()
        status.error = "\(problem)"
        if problem.endCode != .leaving, socket >= 0 {
            buffer.say(.end(problem.endCode, "\(problem)"))
            _ = try? buffer.flush(socket)
        }
        disconnect()
        // Where everything was received, only the good-bye is missing.
        if stage == .ending {
            stage = .done
            status.state = .done
        } else if problem.isFinal || now - lastProgress > loop.options.timeout {
            stage = .failed
            status.state = .failed
        } else {
            stage = .waiting
            status.state = .connecting
            retryTime = now + min(2_000_000_000, 50_000_000 << UInt64(min(attempts, 6)))
        }
    }

    private func disconnect() {
        if let run { loop.retire(run) }
        run = nil
        for delivery in deliveries.values where delivery.descriptor >= 0 { delivery.file.release() }
        (deliveries, order, next, buffer) = ([:], [], 0, MessageBuffer())
        orders = []
        // All that is not settled is announced anew anyway.
        postponed.forgetTimes()
        (isBlocked, isLoading, pausedUntil) = (false, false, 0)
        relay = nil
        guard socket >= 0 else { return }
        loop.events.forget(socket)
        close(socket)
        socket = -1
    }

    /// The socket, for sending.
    var descriptor: Int32 { socket }
}
