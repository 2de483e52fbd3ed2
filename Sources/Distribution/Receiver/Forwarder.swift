internal import CMachine
internal import Fragments
internal import Glibc
internal import Machine
internal import Sending
internal import Tokens

/// Passes on to another receiver what a sender's connection brings, as soon as it is verified.
///
/// The other receiver is announced everything by the sender itself, and tells the sender what it has; from here come only
/// bytes, which it checks. So nobody has to trust a relay, and when one is gone the sender takes over.
final class Forwarder: EventHandler {
    /// Where the conversation is.
    private enum Stage { case connecting, welcome, files, closed }

    let address: String
    private unowned let owner: IncomingConnection
    private let loop: ReceiveLoop
    private var stage = Stage.connecting
    private var socket: Int32 = -1
    private let hello: Greeting.Hello
    private var buffer = MessageBuffer()
    /// What is passed on, by the sender's numbers; kept until the other one has it, whatever becomes of it here.
    private var files: [UInt32: Passing] = [:]
    private var run: (file: IncomingFile, transfer: FileTransfer)?
    private var isBlocked = false

    /// One file being passed on.
    private struct Passing {
        var file: IncomingFile
        /// What the other receiver has, or was sent; nil before it has said what it has.
        var there: RangeList<UInt64>?
    }

    /// Connects to the receiver of this address.
    init?(_ address: String, session: [UInt8], for owner: IncomingConnection) {
        guard let endpoint = Endpoint(parsing: address) else { return nil }
        (self.address, self.owner, loop) = (address, owner, owner.loop)
        hello = Greeting.Hello(session: session, challenge: randomBytes(32), isRelay: true)
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        socket = Glibc.socket(endpoint.family, type, 0)
        guard socket >= 0 else { return nil }
        var yes: Int32 = 1
        _ = unsafe setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        let result = unsafe endpoint.withSocketAddress { unsafe connect(socket, $0, $1) }
        guard result == 0 || errno == EINPROGRESS else {
            closeDescriptor(socket)
            return nil
        }
        for (number, file) in owner.files { add(number, file) }
        loop.events.watch(socket, EventLoop.output, self)
    }

    /// One more file that the sender has announced here.
    func add(_ number: UInt32, _ file: IncomingFile) { files[number] = Passing(file: file) }

    func handle(_ happened: UInt32) {
        isBlocked = false
        do throws(ProtocolProblem) {
            if stage == .connecting { try greet() }
            if happened & (EventLoop.input | EventLoop.broken) != 0 { try read() }
        } catch {
            return fail(error)
        }
        goOn()
    }

    private func greet() throws(ProtocolProblem) {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        _ = unsafe getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length)
        if code != 0 { throw .broken("cannot connect: \(reason(code))") }
        buffer.say(Message.framed(.hello, hello.encoded()))
        stage = .welcome
    }

    private func read() throws(ProtocolProblem) {
        while let (kind, body, _) = try buffer.next(socket) {
            guard let kind = Message.Kind(rawValue: kind), kind != .data else {
                throw .malformed("a message of kind \(kind)")
            }
            if kind == .welcome, stage == .welcome {
                try takeWelcome(body)
                continue
            }
            switch try Message(kind, body) {
            case .have(let number, let pieces, _):
                guard let passing = files[number] else { continue }
                guard pieces.limit == passing.file.count else { throw .malformed("pieces that the file does not have") }
                files[number]?.there = pieces
            case .end(let code, let words): throw .ended(code, words)
            default: throw .malformed("\(kind), which does not belong here")
            }
        }
    }

    private func takeWelcome(_ body: [UInt8]) throws(ProtocolProblem) {
        buffer.say(try Greeting.answer(toWelcome: body, hello: hello, token: loop.options.token))
        stage = .files
    }

    /// Sends what is verified by now, until the socket is full.
    func goOn() {
        guard stage != .closed, !isBlocked else { return }
        do throws(ProtocolProblem) { try send() } catch { return fail(error) }
        if stage == .connecting { return }
        loop.events.watch(socket, EventLoop.input | (isBlocked ? EventLoop.output : 0), self)
    }

    private func send() throws(ProtocolProblem) {
        if stage == .connecting { return }
        // Bounded, so that what comes in is not kept waiting.
        for _ in 0..<16 {
            guard try buffer.flush(socket, more: run != nil) else {
                isBlocked = true
                return
            }
            guard stage == .files else { return }
            guard var current = run else {
                begin()
                // The head of DATA goes before the bytes.
                if run == nil { return }
                continue
            }
            let outcome = current.transfer.send(
                to: socket, limit: 1 << 20, now: Clock.monotonic(), tools: loop.tools)
            run = current
            switch outcome {
            case .progressed: continue
            case .finished: run = nil
            case .blocked, .loading:
                isBlocked = true
                return
            case .shrunk: throw .broken("the part file is shorter than it was")
            case .failed(let code): throw .broken("the connection broke: \(reason(code))")
            }
        }
        // There is more; it goes on with the next turn.
        isBlocked = true
    }

    /// Begins the next piece that is verified here and not there.
    private func begin() {
        for number in files.keys.sorted() {
            guard let passing = files[number], var there = passing.there else { continue }
            let file = passing.file
            guard let next = file.verified.first(where: { there.overlappingSum($0.range) < $0.length })?.range,
                let piece = there.gaps(in: next).first(where: { _ in true })?.lowerBound
            else {
                if there.lengthSum == file.count { files[number] = nil }
                continue
            }
            _ = try? there.insert(piece..<piece + 1)
            files[number]?.there = there
            let bytes = Piece.bytes(piece..<piece + 1, ofSize: file.announcement.size)
            buffer.say(Message.dataHeader(file: number, offset: bytes.lowerBound, byteCount: UInt64(bytes.count)))
            run = (
                file,
                FileTransfer(
                    descriptor: file.descriptor, start: bytes.lowerBound, end: bytes.upperBound, ticket: 0)
            )
            return
        }
    }

    /// Gives it up; the sender is told, and takes over.
    private func fail(_ problem: ProtocolProblem) {
        guard stage != .closed else { return }
        close()
        // Of what does not speak this protocol the sender learns nothing more: it may be none of its business.
        if case .malformed = problem { return owner.forwardingFailed(self, "no receiver answers there") }
        owner.forwardingFailed(self, "\(problem)")
    }

    /// Closes the connection.
    func close() {
        guard stage != .closed else { return }
        stage = .closed
        loop.events.forget(socket)
        closeDescriptor(socket)
        files = [:]
        run = nil
    }
}
