internal import CMachine
internal import Fragments
internal import Glibc
internal import Machine
internal import Tokens

/// One connection of a sender, or of a relay that passes on what a sender's own connection announced.
@safe final class IncomingConnection: EventHandler {
    // Safe because the loop's memory outlives every connection and is used within one call.

    /// Where the conversation is.
    enum Stage { case hello, proof, files, ending, closed }

    let socket: Int32
    let peer: Endpoint
    unowned let loop: ReceiveLoop
    private(set) var stage = Stage.hello
    private(set) var hello: Greeting.Hello?
    private let challenge = randomBytes(32)
    var buffer = MessageBuffer()
    /// Files that are on their way, by the sender's numbers.
    var files: [UInt32: IncomingFile] = [:]
    /// Receivers that get from here what comes in on this connection.
    var forwarders: [Forwarder] = []
    private var intake = PieceIntake()
    private var payload: Payload?
    let began = Clock.monotonic()
    private(set) var lastHeard = Clock.monotonic()

    /// Bytes of a file that are coming in.
    private struct Payload {
        var file: IncomingFile?
        var number: UInt32
        var offset: UInt64
        var remaining: UInt64
        /// The piece in hand, if any of it may have come.
        var piece: UInt64?
        var isWanted = false
    }

    init(socket: Int32, peer: Endpoint, loop: ReceiveLoop) {
        (self.socket, self.peer, self.loop) = (socket, peer, loop)
    }

    /// Why files were refused, for receipts.
    var refusals: [UInt32: Refusal.Code] = [:]
    /// Whether the sender wants nothing but receipts.
    var isQuiet: Bool { hello?.isQuiet ?? false }

    /// Whether the peer has shown that it knows the token, or need not.
    var isProven: Bool { stage == .files }
    /// The connection that announced the files whose bytes come in here.
    private var announcing: IncomingConnection? {
        guard let hello, hello.isRelay else { return self }
        return loop.announcers[hello.session]
    }

    func handle(_ events: UInt32) {
        lastHeard = Clock.monotonic()
        do throws(ProtocolProblem) {
            if stage != .ending { try read() } else if events & (EventLoop.input | EventLoop.broken) != 0 { drain() }
        } catch {
            end(error)
        }
        finishTurn()
    }

    /// Sends what waits, and says what to wait for.
    func finishTurn() {
        guard stage != .closed else { return }
        do throws(ProtocolProblem) {
            if stage == .files { tellProgress() }
            for forwarder in forwarders { forwarder.goOn() }
            let isEmpty = try buffer.flush(socket)
            if stage == .ending, isEmpty { shutdown(socket, Int32(SHUT_WR)) }
            guard buffer.waiting <= ReceiveLimit.waitingBytes else { throw .limit("a peer that does not read") }
            loop.events.watch(socket, EventLoop.input | (isEmpty ? 0 : EventLoop.output), self)
        } catch {
            close("\(error)")
        }
    }

    private func read() throws(ProtocolProblem) {
        var turn = 0
        while turn < ReceiveLimit.turnBytes, stage != .ending, stage != .closed {
            if payload != nil {
                guard try takePayload() else { return }
                turn += PieceIntake.memoryByteCount
                continue
            }
            let limit = stage == .files ? Message.greatest : ReceiveLimit.greetingBytes
            guard let (kind, body, count) = try buffer.next(socket, limit: limit) else { return }
            turn += body.count + 64
            guard let kind = Message.Kind(rawValue: kind) else { throw .malformed("a message of kind \(kind)") }
            try take(kind, body, payload: count)
        }
    }

    private func take(_ kind: Message.Kind, _ body: [UInt8], payload count: UInt64) throws(ProtocolProblem) {
        switch (stage, kind) {
        case (.hello, .hello): try greet(body)
        case (.proof, .proof):
            guard let hello, Greeting.isProof(body, of: .sender, loop.options.token, hello: hello, challenge: challenge)
            else { throw .proof }
            stage = .files
            loop.proven(self)
        case (.hello, .end), (.proof, .end):
            // A sender that has met another token, or another version, says so instead of going on.
            guard case .end(let code, let words) = try Message(.end, body) else { return }
            throw code == .proof ? .proof : .ended(code, words)
        case (.files, .data): try beginPayload(body, count)
        case (.files, _): try take(Message(kind, body))
        default: throw .malformed("\(kind), which does not belong here")
        }
    }

    private func greet(_ body: [UInt8]) throws(ProtocolProblem) {
        let hello = try Greeting.Hello(body)
        self.hello = hello
        stage = .proof
        let proof = Greeting.proof(.receiver, loop.options.token, hello: hello, challenge: challenge)
        buffer.say(Message.framed(.welcome, Greeting.Welcome(challenge: challenge, proof: proof).encoded()))
    }

    // ---- bytes of files

    private func beginPayload(_ head: [UInt8], _ count: UInt64) throws(ProtocolProblem) {
        var reader = WireReader(head)
        let number: UInt32 = try reader.number()
        _ = try reader.number() as UInt32
        let offset: UInt64 = try reader.number()
        let file = announcing?.files[number]
        if let file {
            let size = file.announcement.size
            guard offset % Piece.byteCount == 0, offset < size, count <= size - offset,
                offset + count == size || count % Piece.byteCount == 0
            else { throw .malformed("\(count) bytes at \(offset) of a file of \(size), which are no pieces") }
        }
        payload = Payload(file: file, number: number, offset: offset, remaining: count)
        beginPiece()
    }

    /// Prepares for the next piece of the payload.
    private func beginPiece() {
        guard var next = payload else { return }
        // Of a file that was refused meanwhile, the rest only has to be got out of the way.
        if let file = next.file, announcing?.files[next.number] !== file { next.file = nil }
        let length = min(next.remaining, Piece.byteCount)
        if let file = next.file {
            let piece = next.offset / Piece.byteCount
            let place = file.place(of: piece)
            next.isWanted = place >= 0
            next.piece = piece
            if next.isWanted { file.arriving.insert(piece) }
            intake.begin(file: place, at: next.offset, length: length)
        } else {
            next.isWanted = false
            intake.begin(file: -1, at: 0, length: length)
        }
        payload = next
    }

    /// Takes some of it. False when there is nothing more for now.
    private func takePayload() throws(ProtocolProblem) -> Bool {
        switch unsafe intake.take(from: socket, memory: loop.memory) {
        case .progressed: return true
        case .blocked: return false
        case .closed: throw .broken("the connection was closed in the middle of a piece")
        case .broken(let code): throw .broken("the connection broke: \(reason(code))")
        case .pieceEnded: break
        }
        guard var ended = payload else { return true }
        if let file = ended.file, let piece = ended.piece, ended.isWanted { takePiece(file, ended.number, piece) }
        let length = min(ended.remaining, Piece.byteCount)
        ended.offset += length
        ended.remaining -= length
        payload = ended.remaining > 0 ? ended : nil
        if payload == nil, isQuiet { sayArrival(ended.number) }
        beginPiece()
        return true
    }

    private func takePiece(_ file: IncomingFile, _ number: UInt32, _ piece: UInt64) {
        file.arriving.remove(piece)
        guard let owner = announcing, owner.files[number] === file else { return }
        loop.counts.bytes += UInt64(Piece.bytes(piece..<piece + 1, ofSize: file.announcement.size).count)
        do throws(Refusal) {
            if intake.writeFailure != 0 { throw Refusal(intake.writeFailure, "cannot write") }
            let isRight = try file.take(piece, intake.hash(isRoot: file.count == 1))
            if !isRight { owner.askAgain(number, file, [piece]) }
            owner.finishFile(number, file)
        } catch {
            owner.refuse(number, error)
        }
        if owner !== self { owner.finishTurn() }
    }

    // ---- the end

    /// Ends it for a reason, of which the peer is told if it can be.
    private func end(_ problem: ProtocolProblem) {
        if case .broken(let why) = problem { return close(why) }
        if case .ended(_, let words) = problem { return close(words) }
        loop.refused(self, problem)
        buffer.say(.end(problem.endCode, "\(problem)"))
        release()
        stage = .ending
    }

    /// Ends it because the sender has said that it has no more.
    func endInOrder(_ code: EndCode, _ text: String) {
        buffer.say(.end(code, text))
        release()
        stage = .ending
    }

    /// What comes after the end is not looked at.
    private func drain() {
        let count = unsafe spillway_receive(socket, loop.memory, 1 << 16)
        if count == 0 || (count < 0 && count != -Int(EAGAIN)) { close(nil) }
    }

    /// Closes it now.
    func close(_ why: String?) {
        guard stage != .closed else { return }
        release()
        stage = .closed
        loop.remove(self, why)
    }

    /// Lets go of the files; what has come of them stays.
    private func release() {
        if let file = payload?.file, let piece = payload?.piece, payload?.isWanted == true {
            file.arriving.remove(piece)
        }
        payload = nil
        for file in files.values { file.abandon() }
        files = [:]
        for forwarder in forwarders { forwarder.close() }
        forwarders = []
    }
}
