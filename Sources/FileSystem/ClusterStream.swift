internal import CFuse
import Glibc
import Machine
import Synchronization

/// One member of a cluster. Used under the lock of its cluster.
final class ClusterMember {
    let process: Int32
    let name: String
    var queue: MemberQueue
    /// A read that waits, and whether it rather wants to be told EAGAIN.
    var held: (read: HeldRead, isNonBlocking: Bool)?
    var pollHandle: PollHandle?
    /// While an answer is being sent out of the queue nothing in it may move.
    var isSending = false
    var sawEnd = false
    var hasLeft = false

    init(process: Int32, name: String, _ store: SlabStore) {
        self.process = process
        self.name = name
        queue = MemberQueue(store)
    }
}

/// A stream whose packets are shared out among several readers, each flow to one of them.
///
/// Whoever finds its queue empty reads on, for all: it is the one furthest ahead. What it finds is put into the queues, and
/// whoever waits for it is answered.
///
/// SAFETY: all variables are touched only under `lock`.
final class ClusterStream: FollowedStream, @unchecked Sendable {
    let identifier: UInt64
    let options: StreamOptions
    private let chain: Chain
    private let services: StreamServices
    private let told: ClusterNews

    private let lock = Mutex(())
    private let store = SlabStore()
    private var splitter: Splitter
    private var members: [ClusterMember] = []
    /// The end for everybody behind what is queued.
    private var ending: ReadOutcome?
    /// The end for everybody at once, whatever is queued.
    private var abort: ReadOutcome?
    /// What comes at the end of the current file, because a member left.
    private var atFileEnd: ReadOutcome?
    private var isShut = false

    init(_ chain: Chain, _ options: StreamOptions, _ services: StreamServices, _ told: ClusterNews) {
        identifier = services.nextIdentifier()
        self.chain = chain
        self.options = options
        self.services = services
        self.told = told
        splitter = Splitter(options.clusterMode)
    }

    /// Whether a member has left that the others were still waiting for.
    var isAbandoned: Bool { lock.withLock { _ in abort != nil } }

    /// Adds a member. Whether the cluster is complete with it.
    func join(process: Int32, name: String) -> (member: ClusterMember, isComplete: Bool) {
        lock.withLock { _ in
            let member = ClusterMember(process: process, name: name, store)
            members.append(member)
            return (member, members.count == options.clusterSize)
        }
    }

    /// Whether the stream is to end before another file begins. Called by the chain, under the lock.
    func endsAtFileEnd(_ completed: String, _ next: String) -> Bool {
        guard atFileEnd != nil else { return false }
        told.left(nil, completed, next)
        return true
    }

    func read(_ read: HeldRead, by member: ClusterMember, _ reader: Reader, isNonBlocking: Bool) {
        // Only a read that is going to wait needs these; but which one that is shows only under the lock.
        if !isNonBlocking {
            let isReady = lock.withLock { _ in canAnswer(member, read) }
            if !isReady { services.follower.watch(self) }
            if !isReady { read.whenInterrupted(reader) }
        }
        var answers: [ClusterAnswer] = []
        lock.withLock { _ in
            if !isNonBlocking && read.isInterrupted {
                answers.append(ClusterAnswer(read, .failure(EINTR), member))
                return
            }
            // Threads that share a descriptor may read at the same time; only one of them can wait.
            if let other = member.held { answers.append(ClusterAnswer(other.read, .failure(EAGAIN), member)) }
            member.held = (read, isNonBlocking)
            turn(&answers)
        }
        send(&answers)
        if !isNonBlocking {
            let (waits, deadline) = lock.withLock { _ in (member.held != nil, chain.deadline) }
            if waits { services.follower.wait(self, until: deadline) }
        }
    }

    /// Answers what can be answered, reading on as long as somebody needs it. Under the lock.
    private func turn(_ answers: inout [ClusterAnswer]) {
        answerOrReadOn(&answers)
        // While the answer before this one is on its way, the next one is found when it has arrived.
        for member in members where !member.isSending {
            guard let held = member.held, held.isNonBlocking else { continue }
            member.held = nil
            answers.append(ClusterAnswer(held.read, .failure(EAGAIN), member))
        }
    }

    private func answerOrReadOn(_ answers: inout [ClusterAnswer]) {
        while true {
            var needsMore = false
            for member in members {
                guard let held = member.held, !member.isSending else { continue }
                if canAnswer(member, held.read) {
                    member.held = nil
                    answers.append(answer(member, held.read))
                } else {
                    needsMore = true
                }
            }
            guard needsMore || members.contains(where: { $0.pollHandle != nil && !hasSomething($0) }) else { return }
            guard isComplete, ending == nil, abort == nil, split() else { return }
        }
    }

    private var isComplete: Bool { members.count == options.clusterSize }

    private func hasSomething(_ member: ClusterMember) -> Bool {
        abort != nil || ending != nil || isShut || member.queue.end > member.queue.delivered
    }

    /// Whether a read can be answered at once.
    private func canAnswer(_ member: ClusterMember, _ read: HeldRead) -> Bool {
        isShut || abort != nil || read.offset != member.queue.end || ending != nil
    }

    /// The answer to a read that can be answered.
    private func answer(_ member: ClusterMember, _ read: HeldRead) -> ClusterAnswer {
        if isShut { return ClusterAnswer(read, .failure(EIO), member) }
        if let abort {
            if abort == .end { member.sawEnd = true }
            return ClusterAnswer(read, abort, member)
        }
        if read.offset < member.queue.end {
            guard read.offset >= member.queue.start else { return ClusterAnswer(read, .failure(EINVAL), member) }
            member.isSending = true
            return unsafe ClusterAnswer(read, member.queue.pieces(from: read.offset, read.size), member)
        }
        guard read.offset == member.queue.end, let ending else { return ClusterAnswer(read, .failure(EINVAL), member) }
        if case .failure = ending {} else { member.sawEnd = true }
        return ClusterAnswer(read, ending, member)
    }

    /// Shares out another stretch of the stream. False if there is nothing to share out now.
    private func split() -> Bool {
        let limit = slackLimit
        if splitter.nextPosition >= limit { return false }
        if !splitter.hasRecords {
            switch splitter.fill(from: chain) {
            case .bytes: break
            case .wait: return false
            case .end:
                ending = atFileEnd ?? .end
                return true
            case .failure(let code):
                if chain.failure == nil { chain.report("a record that cannot be shared out") }
                ending = .failure(code)
                return true
            }
        }
        if !giveOut(upTo: limit), case .failure(let code) = splitter.fill(from: chain) { ending = .failure(code) }
        return true
    }

    /// Puts the records at hand into queues. False if it is better to read on first.
    private func giveOut(upTo limit: UInt64) -> Bool {
        // Members are taken by reference once, not counted for every record.
        unsafe withUnsafeTemporaryAllocation(of: Unmanaged<ClusterMember>.self, capacity: members.count) { seats in
            for index in members.indices {
                unsafe seats.initializeElement(at: index, to: .passUnretained(members[index]))
            }
            let count = UInt32(options.clusterSize)
            while splitter.hasRecords && splitter.nextSource < limit {
                // Marks of queues are made for stretches of 4096 bytes, not for every record.
                let mark = splitter.nextSource & ~4095
                guard let (record, hash, bytes) = unsafe splitter.next() else { return false }
                switch record.kind {
                case .packet:
                    unsafe Self.give(bytes, record.length, mark, seats[ClusterHash.member(hash, of: count)])
                case .everybody:
                    for index in seats.indices { unsafe Self.give(bytes, record.length, mark, seats[index]) }
                case .nobody: break
                }
            }
            return true
        }
    }

    @inline(__always)
    private static func give(
        _ bytes: UnsafeRawPointer, _ length: Int, _ mark: UInt64, _ seat: Unmanaged<ClusterMember>
    ) {
        unsafe seat._withUnsafeGuaranteedRef { member in
            if !member.hasLeft { unsafe member.queue.append(bytes, length, source: mark) }
        }
    }

    /// Up to where in the stream packets may be shared out: so far ahead of the slowest member.
    private var slackLimit: UInt64 {
        let slack = UInt64(options.blockSlack) * 4096
        let oldest = members.lazy.filter { !$0.hasLeft }.compactMap { $0.queue.oldestSource }.min()
        // When everybody has everything, the next stretch is where somebody will be.
        return (oldest ?? splitter.nextPosition) + slack
    }

    /// Sends answers, outside the lock, and those that become possible by that.
    private func send(_ answers: inout [ClusterAnswer]) {
        while !answers.isEmpty {
            for answer in answers { answer.send() }
            let sent = answers
            answers = []
            lock.withLock { _ in
                for answer in sent where answer.count > 0 {
                    answer.member.isSending = false
                    answer.member.queue.deliver(upTo: answer.end)
                }
                turn(&answers)
            }
        }
    }

    func wake(namesChanged: Bool) -> (isWaiting: Bool, deadline: UInt64?) {
        var answers: [ClusterAnswer] = []
        lock.withLock { _ in
            if namesChanged { chain.namesChanged = true }
            turn(&answers)
        }
        send(&answers)
        let handles = lock.withLock { _ in
            members.filter { $0.pollHandle != nil && hasSomething($0) }.compactMap { $0.pollHandle.take() }
        }
        for handle in handles { handle.tell() }
        return lock.withLock { _ in
            (members.contains { $0.held != nil || $0.pollHandle != nil }, chain.deadline)
        }
    }

    func interrupted(_ request: OpaquePointer) {
        let found = lock.withLock { _ -> HeldRead? in
            guard let member = members.first(where: { unsafe $0.held?.read.request == request }) else { return nil }
            return member.held.take()?.read
        }
        found?.fail(EINTR)
    }

    func poll(_ handle: PollHandle?, by member: ClusterMember) -> Bool {
        services.follower.watch(self)
        var answers: [ClusterAnswer] = []
        let isReadable = lock.withLock { _ in
            if !hasSomething(member), let handle {
                member.pollHandle?.drop()
                member.pollHandle = handle
                turn(&answers)
            }
            guard hasSomething(member) else { return false }
            if member.pollHandle != nil { member.pollHandle = nil }
            return true
        }
        send(&answers)
        if isReadable { handle?.drop() } else { services.follower.wait(self, until: nil) }
        return isReadable
    }

    /// A member closed its file. Before its end that concerns the others.
    func leave(_ member: ClusterMember) {
        var answers: [ClusterAnswer] = []
        let isLast = lock.withLock { _ in
            member.hasLeft = true
            member.pollHandle?.drop()
            member.pollHandle = nil
            if !member.sawEnd && abort == nil && ending == nil && !isShut { abend(member) }
            turn(&answers)
            return members.allSatisfy(\.hasLeft) && (isComplete || abort != nil)
        }
        send(&answers)
        if isLast { services.follower.forget(identifier) }
    }

    private func abend(_ member: ClusterMember) {
        let current = chain.current?.name
        let before = chain.parts.count > 1 ? chain.parts[chain.parts.count - 2].name : nil
        chain.report("process \(member.process) left its cluster before the end")
        switch options.clusterAbend {
        case .errorNow: abort = .failure(EINVAL)
        case .endNow: abort = .end
        case .endAtFileEnd: atFileEnd = .end
        case .errorAtFileEnd: atFileEnd = .failure(EINVAL)
        case .ignore: break
        }
        // Without all its members the cluster would never begin.
        if !isComplete && options.clusterAbend != .ignore { abort = abort ?? atFileEnd }
        told.left(member.process, before, current ?? chain.names.first)
    }

    func shutDown() {
        let (reads, handles) = lock.withLock { _ in
            isShut = true
            return (members.compactMap { $0.held.take()?.read }, members.compactMap { $0.pollHandle.take() })
        }
        for read in reads { read.fail(EIO) }
        for handle in handles { handle.tell() }
    }

    func delivered(to member: ClusterMember) -> (bytes: UInt64, sawEnd: Bool) {
        lock.withLock { _ in (member.queue.delivered, member.sawEnd) }
    }

    func watchTargets() -> WatchTargets { lock.withLock { _ in chain.watchTargets } }

    /// What `.status` says, with the lag of each member.
    func status(_ name: String) -> [String] {
        lock.withLock { _ in
            let state =
                isComplete
                ? "cluster of \(options.clusterSize)"
                : "waits for members, \(members.count) of \(options.clusterSize) are there"
            let lines = members.map { member in
                let lag = member.queue.oldestSource.map { splitter.position - min($0, splitter.position) } ?? 0
                let what =
                    member.hasLeft ? "left" : member.sawEnd ? "ended" : member.held != nil ? "waiting" : "reading"
                return "  member pid \(member.process): \(what), \(member.queue.delivered) bytes delivered, "
                    + "\(member.queue.end - member.queue.delivered) queued, lag \(lag)"
            }
            return chain.status(name, state) + lines
        }
    }
}

/// One answer that is sent outside the lock.
///
/// SAFETY: the pieces lie in the queue of the member, which moves nothing while `isSending`.
@safe struct ClusterAnswer {
    let member: ClusterMember
    private let read: HeldRead
    private let outcome: ReadOutcome
    private let pieces: [iovec]

    init(_ read: HeldRead, _ outcome: ReadOutcome, _ member: ClusterMember) {
        self.read = read
        self.outcome = outcome
        self.member = member
        unsafe pieces = unsafe []
    }

    init(_ read: HeldRead, _ pieces: [iovec], _ member: ClusterMember) {
        self.read = read
        self.member = member
        unsafe self.pieces = unsafe pieces
        outcome = .bytes(unsafe pieces.reduce(0) { unsafe $0 + $1.iov_len })
    }

    /// Bytes that come out of the queue.
    var count: Int { if case .bytes(let count) = outcome { count } else { 0 } }
    /// Where in the member's stream they end.
    var end: UInt64 { read.offset + UInt64(count) }

    func send() {
        switch outcome {
        case .bytes: unsafe read.reply(pieces)
        case .end: unsafe read.reply(UnsafeRawBufferPointer(start: nil, count: 0))
        case .failure(let code): read.fail(code)
        case .wait: read.fail(EAGAIN)
        }
    }
}

/// Who is told when a member leaves: the process, if it just did, the last file that is done, the one that comes next.
struct ClusterNews: Sendable {
    let left: @Sendable (_ process: Int32?, _ last: String?, _ next: String?) -> Void
}
