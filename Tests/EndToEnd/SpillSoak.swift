import Glibc
import Machine
import Synchronization
import TestSupport
import Testing

/// The stage of the soak: a sender, a relay with a cache on a small disk, a collector of the test's own and a real one, each
/// behind a slow line that can be cut.
final class SpillSoak {
    enum Event: CaseIterable {
        case cutOwn, cutReal, killCollector, stopRelay, stopCollector, fillDisk, killRelay
    }

    /// A life of the relay: the numbers that came in it, and what is known of its end.
    struct Life {
        var numbers: Range<Int>
        /// On disk when it was killed.
        var onDisk: Set<Int> = []
        /// By destination: packets that were counted as lost, and that were only in memory.
        var lost: [String: Int] = [:], inMemory: [String: Int] = [:]
        var isKilled = false
    }

    private let space: NetworkNamespace
    private let folder: String
    private let seed: UInt64
    private let own: ReferenceCollector
    private let proxies: [CuttingProxy]
    private var real: ChildProcess
    private var relay: RunningRelay
    private let sender: PacedSender
    private var lives: [Life] = []
    private var events: [Event: Int] = [:]
    private var finalOrder: [UInt64] = []
    private static let names = ["own", "real"]

    init(_ space: NetworkNamespace, _ folder: String, _ seed: UInt64) throws {
        (self.space, self.folder, self.seed) = (space, folder, seed)
        var manners = CollectorManners()
        // What it has not acknowledged when a connection breaks it has lost with its process.
        manners.forgets = true
        own = try space.enter { [manners] in try ReferenceCollector(manners) }
        let port: UInt16
        (real, port) = try Self.startCollector(space, folder)
        // What a line holds at once, and for how long, is its speed: less than 2 MB/s.
        proxies = try [own.port, port].map { port in
            try space.enter { try CuttingProxy(to: port, room: 1, delay: 150) }
        }
        relay = try Self.startRelay(space, folder, proxies)
        sender = try PacedSender(space, packetsPerSecond: 3500, size: 1000)
        lives = [Life(numbers: 0..<0)]
    }

    func end() {
        _ = sender.pause()
        relay.child.send(signal: SIGKILL, toGroup: true)
        real.send(signal: SIGKILL, toGroup: true)
        for proxy in proxies { proxy.stop() }
        own.stop()
    }

    private static func startCollector(_ space: NetworkNamespace, _ folder: String) throws -> (ChildProcess, UInt16) {
        let words = ["collect", "--listen", "127.0.0.1:0", "--out", "\(folder)/out", "--rotate-size", "4M"]
        let command = space.inside(try builtExecutable("spillway"), words)
        let child = try ChildProcess(command.tool, command.arguments, environment: withoutOwnVariables())
        try child.waitUntil { _, errors in errors.contains(" into ") }
        let start = "spillway: collecting at 127.0.0.1:"
        let line = try #require(child.errorText.split(separator: "\n").first { $0.hasPrefix(start) })
        return (child, try #require(UInt16(line.dropFirst(start.count).prefix { $0.isNumber })))
    }

    private static func startRelay(
        _ space: NetworkNamespace, _ folder: String, _ proxies: [CuttingProxy]
    ) throws -> RunningRelay {
        var words = ["-i", "right", "--spill", "\(folder)/disk/cache", "--spill-file-size", "1M", "--name", "soak"]
        for (name, proxy) in zip(names, proxies) {
            words += ["--to", "127.0.0.1:\(proxy.port),name=\(name),ack=required"]
        }
        return try space.xdpRelay(
            words + ["--memory-age", "500ms", "--metrics", "127.0.0.1:0", "--drain-timeout", "60s"])
    }

    // ---- what happens --------------------------------------------------------------------------------------------

    func happens(_ event: Event, using random: inout SeededGenerator) throws {
        events[event, default: 0] += 1
        switch event {
        case .cutOwn: proxies[0].cut()
        case .cutReal: proxies[1].cut()
        case .killCollector:
            real.send(signal: SIGKILL, toGroup: true)
            _ = try real.wait()
            let port: UInt16
            (real, port) = try Self.startCollector(space, folder)
            proxies[1].lead(to: port)
            proxies[1].cut()
        case .stopRelay: hold(relay.child, useconds_t.random(in: 50_000..<400_000, using: &random))
        case .stopCollector: hold(real, useconds_t.random(in: 50_000..<400_000, using: &random))
        case .fillDisk: try fillDisk(useconds_t.random(in: 300_000..<1_200_000, using: &random))
        case .killRelay: try killRelay()
        }
    }

    private func hold(_ child: ChildProcess, _ microseconds: useconds_t) {
        child.send(signal: SIGSTOP, toGroup: true)
        usleep(microseconds)
        child.send(signal: SIGCONT, toGroup: true)
    }

    /// The disk is full for a while; goes on when the relay writes again.
    private func fillDisk(_ microseconds: useconds_t) throws {
        let path = "\(folder)/disk/ballast"
        _ = try run("dd", ["if=/dev/zero", "of=\(path)", "bs=1M"])
        usleep(microseconds)
        _ = unsafe unlink(path)
        try waitUntil("writing to go on") {
            let text = relay.child.errorText
            return text.ranges(of: "--spill: write ").count <= text.ranges(of: "--spill: writing goes on").count
        }
    }

    /// Nothing comes in while it dies, so that what it says of itself just before is an upper limit for what may be missing.
    private func killRelay() throws {
        let sent = sender.pause()
        try space.waitUntilTaken(sent - lives[lives.count - 1].numbers.lowerBound, by: relay)
        try note(sent: sent)
        relay.child.send(signal: SIGKILL, toGroup: true)
        _ = try relay.finish()
        lives[lives.count - 1].isKilled = true
        lives[lives.count - 1].onDisk = try wholeNumbersOnDisk("\(folder)/disk/cache")
        relay = try Self.startRelay(space, folder, proxies)
        lives.append(Life(numbers: sent..<sent))
        sender.goOn()
    }

    /// Writes down what the relay says of itself.
    private func note(sent: Int) throws {
        let figures = try SoakFigures(space, relay)
        lives[lives.count - 1].numbers = lives[lives.count - 1].numbers.lowerBound..<sent
        let notReceived = lives[lives.count - 1].numbers.count - figures.sum("received_packets_total")
        for name in Self.names {
            lives[lives.count - 1].lost[name] =
                notReceived + figures.sum("destination_dropped_packets_total", name)
                + figures.sum("expired_packets_total", name)
            lives[lives.count - 1].inMemory[name] =
                figures.sum("memory_packets", name) + figures.sum("received_packets_total")
                - figures.sum("encoded_packets_total")
        }
    }

    // ---- the end -------------------------------------------------------------------------------------------------

    /// The sender ends, the lines become fast, everything that is owed arrives, and all ends in order.
    func deliverTheRest() throws {
        let sent = sender.pause()
        try space.waitUntilTaken(sent - lives[lives.count - 1].numbers.lowerBound, by: relay)
        for proxy in proxies { proxy.set(delay: 0) }
        let before = own.state.connections
        proxies[0].cut()
        try waitUntil("a new connection") { own.state.connections > before }
        let first = own.state.order.count
        try waitUntil("nothing to be owed", timeLimit: .seconds(90)) {
            usleep(50_000)
            let figures = try SoakFigures(space, relay)
            return Self.names.allSatisfy { figures.sum("memory_packets", $0) + figures.sum("disk_packets", $0) == 0 }
        }
        try note(sent: sent)
        let state = own.state
        finalOrder = state.order.dropFirst(first).compactMap { state.batches[$0]?.lastArrival }
        let result = try stop(relay)
        result.expect(exits: 0)
        let report = try expectLedger(result)
        for name in Self.names {
            let one = try report.destination(name)
            let lost = try Int(one.losses.values.reduce(0, +) + one.count("expired"))
            let before = try Int(
                report.count("captured") - report.count("received") + report.count("dropped", "pool_full"))
            #expect(lives.last?.lost[name] == lost + before)
        }
        real.send(signal: SIGTERM, toGroup: true)
        #expect(try real.wait().status == .exited(0))
    }

    func check() throws {
        let all = 0..<(lives.last?.numbers.upperBound ?? 0)
        #expect(own.state.violations == [])
        let files = try directoryEntries("\(folder)/out").filter { $0.hasSuffix(".pcapng") }
        let found = [
            "own": own.state.packets.map { number(of: Packet($0)) },
            "real": try files.flatMap { numbers(inBlocks: try readFile("\(folder)/out/\($0)")) },
        ]
        for (name, numbers) in found {
            let what: Comment = "\(name), seed \(seed), \(events)"
            let have = Set(numbers)
            #expect(have.count == numbers.count && have.isSubset(of: Set(all)), what)
            var missing = Set(all).subtracting(have)
            for life in lives where life.isKilled {
                // Neither on disk nor there in the end: that was lost before, or only in memory.
                let gone = missing.intersection(life.numbers).subtracting(life.onDisk)
                #expect(gone.count <= life.lost[name, default: 0] + life.inMemory[name, default: 0], what)
                missing.subtract(gone)
            }
            let lost = lives.reduce(0) { $0 + $1.lost[name, default: 0] }
            #expect(missing.count <= lost, what)
            if !lives.contains(where: \.isKilled) { #expect(missing.count == lost, what) }
        }
        // What waited comes from new to old.
        let quarter = finalOrder.count / 4
        if quarter > 10 {
            #expect(finalOrder.prefix(quarter).min()! >= finalOrder.suffix(quarter).max()!, "seed \(seed), \(events)")
        }
    }
}

/// The figures of a relay's metrics at one moment.
struct SoakFigures {
    private let lines: [Substring]

    init(_ space: NetworkNamespace, _ relay: RunningRelay) throws {
        let port = try relay.port(after: "metrics at http://")
        let command = space.inside("curl", ["-sS", "--max-time", "20", "http://127.0.0.1:\(port)/metrics"])
        lines = try run(command.tool, command.arguments).checked().outputText.split(separator: "\n")
    }

    /// The sum over all series of a metric, or those of a destination.
    func sum(_ metric: String, _ destination: String? = nil) -> Int {
        lines.filter { line in
            (line.hasPrefix("spillway_\(metric){") || line.hasPrefix("spillway_\(metric) "))
                && (destination.map { line.contains("\"\($0)\"") } ?? true)
        }.compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }.reduce(0) { $0 + Int($1) }
    }
}

/// Sends numbered frames at a rate until it is told to pause.
final class PacedSender: Sendable {
    private let isPaused = Atomic(false), rests = Atomic(false), isOver = Atomic(false)
    private let sent = Atomic(0)

    init(_ space: NetworkNamespace, packetsPerSecond: Int, size: Int) throws {
        let sender = try space.enter { try FrameSender("left") }
        _ = try PinnedThread(name: "sender", cpus: nil) { [weak self] in
            while self?.turn(sender, packetsPerSecond / 100, size) == true { usleep(10_000) }
        }
    }

    private func turn(_ sender: FrameSender, _ count: Int, _ size: Int) -> Bool {
        rests.store(isPaused.load(ordering: .acquiring), ordering: .releasing)
        guard !rests.load(ordering: .relaxed) else { return true }
        for number in sent.load(ordering: .relaxed)..<sent.load(ordering: .relaxed) + count {
            guard (try? sender.send(liveFrame(number, size: size))) != nil else { return false }
            sent.store(number + 1, ordering: .releasing)
        }
        return true
    }

    /// Stops sending; returns how many it has sent.
    func pause() -> Int {
        isPaused.store(true, ordering: .releasing)
        while !rests.load(ordering: .acquiring) { usleep(1000) }
        return sent.load(ordering: .acquiring)
    }

    func goOn() { isPaused.store(false, ordering: .releasing) }
}
