internal import CDistribution
internal import CMachine
internal import Glibc
public import Machine
internal import Tokens

/// Sends files to many receivers with as few system calls as possible: one for each receiver that it is connected to, one for
/// each file, and a number for starting and ending that depends on neither.
///
/// All work is prepared in memory that the kernel shares (io_uring(7)). The call of a receiver makes the socket, connects and
/// exchanges greetings; the call of a file opens it, reads it, sends it to all receivers, and waits for their receipts. A
/// receipt carries the root that the receiver computed, so each file is verified when its call returns; its name is given
/// when the next call brings the receiver the sender's own root. What arrived damaged is sent again in a later round.
///
/// The price: a file lies in memory as a whole, all receivers go at the pace of the slowest, up to the time-out, and there are neither limits of
/// rate nor a progress to be asked for. ``FileSender`` has all that.
public final class MinimumSender {
    let options: SendOptions
    private let ring: MinimumRing
    private let session: [UInt8]
    private let secret: [UInt8]
    private var files: [MinimumFile] = []
    private var peers: [MinimumPeer] = []
    private var failures: [String] = []
    private let began = Clock.monotonic()

    /// The largest file: what one read(2) can bring.
    public static let greatestSize: UInt64 = 0x7fff_f000
    /// Receivers, and files, at most.
    public static let greatestCount = 256

    /// Has the heap of this process grow in few, large steps, so that more files or receivers do not make it ask the kernel once
    /// more. For the start of a program that wants to count on that.
    public static func prepareProcess() { spillway_grow_heap_rarely() }

    /// A sender of these files, which are looked at now, in one call, and sent by ``write(_:)``.
    ///
    /// - Parameters:
    ///   - paths: files; not directories.
    ///   - options: rates are not heeded.
    public init(_ paths: [String], _ options: SendOptions = SendOptions()) throws(SendError) {
        self.options = options
        guard paths.count <= Self.greatestCount else {
            throw .unsuitable("\(paths.count) files: the method takes \(Self.greatestCount)")
        }
        let random = randomBytes(48)
        (session, secret) = (Array(random[..<16]), Array(random[16...]))
        ring = try MinimumRing()
        files = try ring.look(paths)
        try ring.makeRoom(files.map(\.announcement.size).max() ?? 0)
    }

    /// Connects to a receiver. One system call.
    public func connect(to address: String, _ endpoint: Endpoint) {
        precondition(peers.count < Self.greatestCount, "too many receivers")
        let peer = MinimumPeer(address, endpoint, slot: UInt32(peers.count))
        peers.append(peer)
        peer.status.totalBytes = files.reduce(0) { $0 + $1.announcement.size }
        // Fresh for each receiver, without asking the kernel for each.
        let challenge = TreeHash.of(secret + [UInt8(truncatingIfNeeded: peer.slot), UInt8(peer.slot >> 8)]).bytes
        let hello = Greeting.Hello(session: session, challenge: challenge, isQuiet: true)
        do throws(ProtocolProblem) {
            let body = try ring.greet(peer, Message.framed(.hello, hello.encoded()), options.timeout)
            peer.pending = try Greeting.answer(toWelcome: body, hello: hello, token: options.token)
            peer.status.connections = 1
            peer.status.state = .sending
        } catch {
            peer.fail("\(error)")
        }
    }

    /// Sends the file of this place among the paths to all receivers, and returns when each has it or has failed. One system call.
    public func write(_ place: Int) { send(files[place], to: peers.filter { !$0.isOver }) }

    /// Sends all files that were not sent yet, what arrived damaged once more, and says good-bye.
    public func finish() -> SendReport {
        for file in files where !file.wasSent { send(file, to: peers.filter { !$0.isOver }) }
        settle()
        for _ in 0..<3 {
            let damaged = peers.filter { !$0.isOver && !$0.damaged.isEmpty }
            if damaged.isEmpty { break }
            for file in files {
                let those = damaged.filter { $0.damaged.remove(file.announcement.number) != nil }
                if !those.isEmpty { send(file, to: those) }
            }
            settle()
        }
        return report
    }

    // ---- one call each

    private func send(_ file: MinimumFile, to receivers: [MinimumPeer]) {
        file.wasSent = true
        if receivers.isEmpty { return }
        let outcome = ring.send(file, to: receivers, options.timeout)
        if let failure = outcome.failure {
            failures.append("\(file.path): \(failure)")
            file.failure = failure
        } else {
            unsafe file.hash(ring.arena)
        }
        for (peer, receipts) in zip(receivers, outcome.receipts) {
            let wasPending = peer.pendingFile
            peer.pending = []
            peer.pendingFile = nil
            guard let receipts else { continue }
            peer.status.sentBytes += file.announcement.size
            if let wasPending { take(receipts[0], of: wasPending, peer) }
            take(arrival: receipts[receipts.count - 1], of: file, peer)
        }
    }

    /// A file has arrived, as the receiver says; it is told what the file should be.
    private func take(arrival receipt: Receipt, of file: MinimumFile, _ peer: MinimumPeer) {
        let number = file.announcement.number
        if file.failure != nil {
            peer.pending = Message.withdrawn(file: number, file.failure ?? "").encoded()
            peer.status.filesFailed += 1
            return
        }
        guard receipt.status == .arrived, let root = file.root else { return take(receipt, of: file, peer) }
        if receipt.root != root {
            peer.expectsDamage = true
            for (place, first) in stride(from: 0, to: file.hashes.count, by: Message.hashesAtOnce).enumerated() {
                let part = Array(file.hashes[first..<min(file.hashes.count, first + Message.hashesAtOnce)])
                let at = UInt64(place * Message.hashesAtOnce)
                peer.pending += Message.hashes(file: number, first: at, part).encoded()
            }
        }
        peer.pending += Message.root(file: number, root).encoded()
        peer.pendingFile = file
    }

    /// What became of a file at a receiver that knows the root.
    private func take(_ receipt: Receipt, of file: MinimumFile, _ peer: MinimumPeer) {
        switch receipt.status {
        case .published:
            peer.status.filesDone += 1
            peer.status.acknowledgedBytes += file.announcement.size
        case .arrived:
            peer.damaged.insert(file.announcement.number)
            peer.status.resentPieces += receipt.damagedPieces
        case .refused:
            peer.status.filesFailed += 1
            peer.status.error = "\(file.announcement.name): refused: \(receipt.reason)"
        }
    }

    /// Brings all receivers the last root, and the good-bye unless something has to be sent again.
    private func settle() {
        let receivers = peers.filter { !$0.isOver }
        let isLast = receivers.allSatisfy { $0.damaged.isEmpty && !$0.expectsDamage }
        for peer in receivers where isLast { peer.pending += Message.end(.done, "").encoded() }
        let receipts = ring.settle(receivers, options.timeout)
        for (peer, receipt) in zip(receivers, receipts) {
            let file = peer.pendingFile
            peer.pending = []
            peer.pendingFile = nil
            peer.expectsDamage = false
            if let receipt, let file { take(receipt, of: file, peer) }
            if isLast, !peer.isOver, peer.damaged.isEmpty { peer.status.state = .done }
        }
    }

    /// What became of it so far.
    public var report: SendReport {
        var report = SendReport()
        report.peers = peers.map(\.status)
        report.files = files.map { ($0.announcement.name, $0.announcement.size, $0.root) }
        report.failures = failures
        report.seconds = Double(Clock.monotonic() - began) / 1e9
        return report
    }
}
