import Glibc
import TestSupport
import Testing

/// A relay on a wire with a cache and two destinations: one takes everything at once, the other nothing until it is told
/// to. What the first one has is what there was.
final class SpillRig {
    let space: NetworkNamespace
    let running: RunningRelay
    let quick: Reader, slow: Reader
    private let sender: FrameSender
    private(set) var sent = 0
    /// What the cache had to let go of the slow reader's, after the end.
    private(set) var expired: UInt64 = 0
    private static let size = 1000

    init(
        _ space: NetworkNamespace, cache: String, fileSize: String = "8M", memoryAge: String = "1h",
        slowly order: String = "newest-first", _ more: [String] = []
    ) throws {
        self.space = space
        quick = try space.reader()
        slow = try space.reader(.stalled, receiveBuffer: 16_384)
        running = try space.relay(
            [
                "-i", "right", "--to", "\(quick.address),name=quick", "--to",
                "\(slow.address),name=slow,order=\(order)",
                "--spill", cache, "--spill-file-size", fileSize, "--segment-size", "512K", "--memory", "40M",
                "--memory-age", memoryAge, "--admit", "1", "--metrics", "127.0.0.1:0",
            ] + (more.contains("--drain-timeout") ? [] : ["--drain-timeout", "20s"]) + more)
        sender = try space.enter { try FrameSender("left") }
    }

    /// Sends so many numbered packets, and never more than 2000 ahead of the quick reader: what memory cannot hold any more
    /// it has had long ago.
    func send(_ count: Int) throws {
        for number in sent..<sent + count {
            if number % 500 == 0 { try waitForQuick(Self.size * (number - 2000)) }
            try sender.send(liveFrame(number, size: Self.size))
        }
        sent += count
    }

    private func waitForQuick(_ bytes: Int) throws {
        if quick.byteCount >= bytes { return }
        try waitUntil("the quick reader to come after") { quick.byteCount >= bytes }
    }

    /// Sends until so much more is on disk; returns what `written` says then.
    @discardableResult
    func fill(_ bytes: Int = 4 << 20, _ written: () throws -> Int) throws -> Int {
        let before = try written()
        try waitUntil("\(bytes) bytes more on disk") {
            try send(200)
            return try written() >= before + bytes
        }
        return try written()
    }

    /// A figure of the metrics.
    func figure(_ name: String, of destination: String) throws -> Int {
        let port = try running.port(after: "metrics at http://")
        let command = space.inside("curl", ["-sS", "--max-time", "20", "http://127.0.0.1:\(port)/metrics"])
        let lines = try run(command.tool, command.arguments).checked().outputText.split(separator: "\n")
        let line = lines.first { $0.hasPrefix("spillway_\(name){") && $0.contains("\"\(destination)\"") }
        return try #require(line.flatMap { $0.split(separator: " ").last }.flatMap { Int($0) }, "\(name)")
    }

    /// Waits until a destination is owed nothing.
    func waitUntilDelivered(_ destination: String) throws {
        try waitUntil("nothing to be owed to \(destination)", timeLimit: .seconds(60)) {
            usleep(20_000)
            return try figure("memory_packets", of: destination) + figure("disk_packets", of: destination) == 0
        }
    }

    /// Waits until the quick reader has got all there is, while the other one stands still.
    func waitUntilQuickHasAll() throws {
        // The last ones are in the kernel's buffer, a moment long.
        try space.waitUntilTaken(sent, by: running)
        try waitUntilDelivered("quick")
    }

    /// Lets the slow reader read, ends the run, and compares sets and ledger.
    ///
    /// - Returns: what the slow reader has lost, by reason.
    func finish() throws -> [String: UInt64] {
        slow.set(.reading)
        try waitUntilQuickHasAll()
        try waitUntilDelivered("slow")
        let result = try stop(running)
        result.expect(exits: 0)
        let report = try expectLedger(result)
        try quick.waitForEnd()
        try slow.waitForEnd()
        let (all, some) = (numbers(in: quick), numbers(in: slow))
        let lostBefore = try report.count("captured") - report.count("received") + report.count("dropped", "pool_full")
        #expect(Set(all).count == all.count && Set(all).isSubset(of: Set(0..<sent)))
        #expect(all.count + Int(lostBefore) == sent)
        #expect(try report.destination("quick").losses.isEmpty)
        let slow = try report.destination("slow")
        #expect(Set(some).count == some.count && Set(some).isSubset(of: Set(all)))
        expired = try slow.count("expired")
        let lost = slow.losses.values.reduce(0, +) + expired
        #expect(some.count + Int(lost) == all.count, "\(slow.losses)")
        #expect(try slow.count("on_disk") == 0)
        return slow.losses
    }
}

/// The numbers of all numbered packets a reader got.
func numbers(in reader: Reader) -> [Int] { reader.streams.flatMap { numbers(inBlocks: $0) } }

/// The numbers of the numbered packets in whole blocks.
func numbers(inBlocks bytes: [UInt8]) -> [Int] {
    var numbers: [Int] = []
    var offset = 0
    while offset + 12 <= bytes.count {
        let length = Int(bytes.word(offset + 4))
        guard length >= 12, offset + length <= bytes.count else { break }
        if bytes.word(offset) == 6 { numbers.append(numberOfBlock(bytes, offset)) }
        offset += length
    }
    return numbers
}

/// The number of the numbered packet in the Enhanced Packet Block at a place.
func numberOfBlock(_ bytes: [UInt8], _ offset: Int) -> Int {
    let start = offset + 28 + 42
    return bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
}

extension NetworkNamespace {
    /// The numbers that a next life delivers to a destination of what lies on a disk, until nothing lies there.
    func numbersLeft(on disk: FailingDisk, for name: String) throws -> [Int] {
        let late = try reader()
        let next = try relay(["-i", "right", "--to", "\(late.address),name=\(name)", "--spill", disk.path])
        try waitUntil("the next life to deliver it") { !disk.names.contains { $0.contains(".pcapng") } }
        let result = try stop(next)
        result.expect(exits: 0)
        try expectLedger(result)
        try late.waitForEnd()
        return numbers(in: late)
    }
}
