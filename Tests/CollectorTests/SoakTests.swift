import Glibc
import TestSupport
import Testing

@Suite("Both real ends, and everything that can break", .serialized, .timeLimit(.minutes(30)))
struct SoakTests {
    /// Seconds of breaking things; SPILLWAY_SOAK_SECONDS for longer ones.
    private static var seconds: Int {
        unsafe getenv("SPILLWAY_SOAK_SECONDS").flatMap { unsafe Int(String(cString: $0)) } ?? 12
    }

    /// A classic capture with nanoseconds of packets with these numbers.
    private func capture(_ numbers: Range<Int>) -> [UInt8] {
        var file = ClassicBuilder(.nanoseconds, linkTypeWord: 1)
        for number in numbers {
            let time = Deliveries.start + UInt64(number) * 1_000_000
            let digits = (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
            file.packet(
                seconds: UInt32(time / 1_000_000_000), fraction: UInt32(time % 1_000_000_000),
                digits + [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 92), original: 100)
        }
        return file.built("").bytes
    }

    /// A life of the relay: its numbers, and whether it came to its end.
    private struct Life {
        var numbers: Range<Int>
        var isWhole: Bool
    }

    @Test("Kills of both ends, resets, other ports: each packet of a relay that lived to its end is in the files once")
    func soak() throws {
        try withTemporaryDirectory { folder in
            var random = SystemRandomNumberGenerator()
            var collector = try RunningCollector("\(folder)/out", ["--rotate-size", "512K"])
            var proxy = try CuttingProxy(to: collector.port) { _ in
                Bool.random() ? Int.random(in: 0..<400_000) : nil
            }
            defer { proxy.stop() }
            var lives: [Life] = []
            let end = ContinuousClock.now + .seconds(Self.seconds)
            var events: [String: Int] = [:]
            while ContinuousClock.now < end || lives.last?.isWhole == false {
                let isLast = ContinuousClock.now >= end
                let first = lives.count * 100_000
                let numbers = first..<first + Int.random(in: 4000..<12_000, using: &random)
                try writeFile("\(folder)/in", capture(numbers))
                func configure() throws {
                    let text = "to:\n  - \"127.0.0.1:\(proxy.port),name=c,ack=required\"\n"
                    try writeFile("\(folder)/config.new", Array(text.utf8))
                    guard unsafe rename("\(folder)/config.new", "\(folder)/config") == 0 else {
                        throw ProtocolProblem("rename")
                    }
                }
                try configure()
                let relay = try ChildProcess(
                    try builtExecutable("spillway"),
                    [
                        "run", "-r", "\(folder)/in", "--config", "\(folder)/config", "--memory", "64M",
                        "--batch-size", "2K", "--pace", "4Kpps", "--name", "soak", "--drain-timeout", "60s",
                    ], environment: ["SPILLWAY_SOAK_SECONDS": nil])
                defer { relay.send(signal: SIGKILL, toGroup: true) }
                // Before that any signal simply ends it.
                try relay.waitUntil { _, errors in errors.contains("segments lie on") }
                var isKilled = false
                while relay.isRunning(), !isKilled {
                    usleep(useconds_t.random(in: 20_000..<300_000, using: &random))
                    let event = ["cut", "kill", "move", "end"].randomElement(using: &random)!
                    switch event {
                    case "cut": proxy.cut()
                    case "kill":
                        try collector.kill()
                        collector = try RunningCollector("\(folder)/out", ["--rotate-size", "512K"])
                        proxy.lead(to: collector.port)
                    case "move":
                        let old = proxy
                        proxy = try CuttingProxy(to: collector.port) { _ in
                            Bool.random() ? Int.random(in: 0..<400_000) : nil
                        }
                        try configure()
                        relay.send(signal: SIGHUP)
                        old.stop()
                    default:
                        guard !isLast, Int.random(in: 0..<6, using: &random) == 0 else { continue }
                        relay.send(signal: SIGKILL, toGroup: true)
                        isKilled = true
                    }
                    events[event, default: 0] += 1
                }
                let result = try relay.wait()
                if !isKilled { #expect(result.status == .exited(0), "\(result.errorText)") }
                lives.append(Life(numbers: numbers, isWhole: !isKilled))
            }
            let report = try collector.stop()
            #expect(report["corrupt"] == 0)
            try check("\(folder)/out", lives, "\(events)")
        }
    }

    private func check(_ folder: String, _ lives: [Life], _ events: String) throws {
        var found: [Int: Int] = [:]
        for packet in try CollectedFile.all(in: folder).flatMap(\.packets) {
            let number = packet.bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            #expect(packet.time == Deliveries.start + UInt64(number) * 1_000_000)
            found[number, default: 0] += 1
        }
        #expect(found.values.allSatisfy { $0 == 1 }, "nothing is there twice; \(events)")
        for life in lives {
            let missing = life.numbers.filter { found[$0] == nil }
            if life.isWhole { #expect(missing.isEmpty, "\(missing.prefix(5)) of \(life.numbers); \(events)") }
        }
        #expect(found.keys.allSatisfy { number in lives.contains { $0.numbers.contains(number) } })
    }
}
