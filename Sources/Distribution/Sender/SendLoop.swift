internal import CMachine
internal import Glibc
internal import Machine
internal import Sending
internal import Tokens

/// The one thread of a sender that talks to peers.
final class SendLoop: EventHandler {
    let options: SendOptions
    let events: EventLoop
    let tools: SendingTools
    let session = randomBytes(16)
    private(set) var files: [SourceFile] = []
    private(set) var totalBytes: UInt64 = 0
    private(set) var peers: [PeerLink] = []
    var limit: RateLimit

    private let wake: WakeSignal
    private let helpers: HelperPool
    private let client: HelperClient
    private let worker: TreeWorker
    private var nextTicket: UInt64 = 0
    /// Runs that are over, while a helper still has their descriptor; each is a user of its file.
    private var retired: [UInt64: SendRun] = [:]
    private var lastUpdate: UInt64 = 0
    private var progress: (([PeerStatus]) -> Void)?
    /// Asked at every turn; true gives up.
    private var isCancelled: () -> Bool = { false }

    init(_ options: SendOptions) throws(SystemError) {
        self.options = options
        events = try EventLoop()
        wake = try WakeSignal()
        helpers = try HelperPool()
        client = helpers.makeClient(wake: wake, capacity: 4096)
        tools = try SendingTools(helpers: client)
        worker = try TreeWorker(wake: wake)
        limit = RateLimit(options.rate, now: Clock.monotonic())
        events.watch(wake.descriptor, EventLoop.input, self)
    }

    /// Ends the threads.
    func stop() {
        worker.stop()
        helpers.stop()
    }

    func add(_ address: String, _ endpoints: [Endpoint]) { peers.append(PeerLink(address, endpoints, self)) }

    func add(_ path: String, name: String) throws(SendError) {
        let file = try SourceFile(path, name: name, number: UInt32(files.count))
        files.append(file)
        totalBytes += file.size
        if file.announcement.kind == .file { worker.add(file) }
        let now = Clock.monotonic()
        for peer in peers { peer.lastProgress = max(peer.lastProgress, now) }
    }

    func onProgress(_ body: @escaping ([PeerStatus]) -> Void) { progress = body }
    func cancelling(_ body: @escaping () -> Bool) { isCancelled = body }

    /// Runs until every peer has everything there is so far, or never will.
    func runUntilSettled() { run { $0.isSettled } }

    /// Says good-bye to all and waits for their answers.
    func runToEnd() {
        for peer in peers { peer.finish() }
        run { $0.isOver }
    }

    func handle(_ happened: UInt32) { wake.announceAwake() }

    private func run(until isEnough: (PeerLink) -> Bool) {
        while !isCancelled() {
            let now = Clock.monotonic()
            for peer in peers { peer.tick(now) }
            takeResults()
            for peer in peers { peer.goOn() }
            update(now)
            if peers.allSatisfy(isEnough) { return update(0) }
            wait()
        }
    }

    private func wait() {
        if peers.contains(where: \.isReady) { return events.turn(milliseconds: 0) }
        let now = Clock.monotonic()
        let next = peers.compactMap(\.deadline).min().map { $0 > now ? $0 - now : 0 } ?? .max
        wake.announceSleep()
        takeResults()
        // What became ready meanwhile must not wait for the time-out.
        let milliseconds = peers.contains(where: \.isReady) ? 0 : Int32(min(250, next / 1_000_000 + 1))
        events.turn(milliseconds: milliseconds)
        wake.announceAwake()
    }

    private func update(_ now: UInt64) {
        guard now == 0 || now - lastUpdate > 200_000_000 else { return }
        lastUpdate = now
        for peer in peers { peer.update(Clock.monotonic()) }
        progress?(peers.map(\.status))
    }

    // ---- what helpers bring

    private func takeResults() {
        while let result = client.nextResult() {
            if let peer = peers.first(where: { $0.run?.transfer.ticket == result.ticket }) {
                peer.run?.transfer.take(result)
                peer.isLoading = false
            } else if var run = retired.removeValue(forKey: result.ticket) {
                run.transfer.take(result)
                if run.transfer.isBusy { retired[result.ticket] = run } else { run.file.release() }
            }
        }
    }

    func makeRun(_ number: UInt32, _ delivery: Delivery, _ pieces: Range<UInt64>, _ bytes: Range<UInt64>) -> SendRun {
        nextTicket += 1
        // Peers are at different places in the same file: what one has sent, another one is about to.
        var limits = TransferLimits()
        limits.releases = false
        delivery.file.retain()
        let transfer = FileTransfer(
            descriptor: delivery.descriptor, start: bytes.lowerBound, end: bytes.upperBound, ticket: nextTicket,
            limits: limits)
        return SendRun(number: number, file: delivery.file, pieces: pieces, transfer: transfer)
    }

    /// Keeps the file of a run that is over open for as long as a helper may use it.
    func retire(_ run: SendRun) {
        var run = run
        run.transfer.finish(tools: tools)
        if run.transfer.isBusy { retired[run.transfer.ticket] = run } else { run.file.release() }
    }
}
