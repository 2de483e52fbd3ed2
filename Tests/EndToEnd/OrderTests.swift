import TestSupport
import Testing

/// A relay that reads standard input, with a stalled destination and a witness that reads everything, so that the test
/// knows when a portion has become batches.
private final class StalledRun {
    let relay: RunningRelay
    let stalled: Reader
    private let witness: Reader
    private var given = 0

    init(_ more: [String] = [], order: String = "") throws {
        stalled = try Reader(.stalled, receiveBuffer: 4096)
        witness = try Reader()
        relay = try RunningRelay(
            ["-r", "-", "--to", "\(stalled.address),name=stalled\(order)", "--to", "\(witness.address),name=witness"]
                + more)
        try relay.child.writeInput(captureFile([]))
        try relay.waitFor("connected to", times: 2)
    }

    /// Gives this many more packets and waits until the relay has sent them to the witness.
    func give(_ count: Int, size: Int = 1000) throws {
        let packets = numberedPackets(given..<given + count, size: size)
        try relay.child.writeInput(Array(captureFile(packets)[24...]))
        given += count
        try waitUntil("what was given goes out") {
            try witness.streams.first.map { try Stream($0).packets.count } == given
        }
    }

    /// Lets the stalled reader read, ends the input and returns what the reader got.
    func release() throws -> Stream {
        stalled.set(.reading)
        relay.child.closeInput()
        let result = try relay.finish()
        result.expect(exits: 0)
        try expectLedger(result, captured: given, encoded: given)
        try stalled.waitForEnd()
        let stream = try Stream(stalled.streams[0])
        expectSame(stream.packets, numberedPackets(0..<given, size: stream.packets[0].bytes.count))
        return stream
    }
}

@Suite("Newest first")
struct OrderTests {
    @Test("A reader that stalled gets what was in flight, then the newest batch first of all")
    func stalledReader() throws {
        let run = try StalledRun()
        for _ in 0..<60 { try run.give(30) }
        let numbers = try run.release().batches.map { Int($0.number) }
        let inFlight = numbers.indices.prefix { numbers[$0] == $0 }.count
        // The socket holds little: that is the point of TCP_NOTSENT_LOWAT.
        #expect(inFlight < 20)
        #expect(numbers == Array(0..<inFlight) + (inFlight..<numbers.count).reversed())
    }

    @Test("One packet per batch: strictly last in, first out")
    func strict() throws {
        let run = try StalledRun(["--batch-packets", "1"])
        for _ in 0..<10 { try run.give(20) }
        let stream = try run.release()
        #expect(stream.batches.count == 200 && stream.batches.allSatisfy { $0.packets.count == 1 })
        let numbers = stream.packets.map { number(of: $0) }
        // What went out before the socket was full is newest first within each portion. From then on it is strict.
        let newest = try #require(numbers.firstIndex(of: 199))
        #expect(newest < 100)
        #expect(numbers[newest...].elementsEqual(Set(0..<200).subtracting(numbers[..<newest]).sorted(by: >)))
    }

    @Test("order=oldest-first: a stall changes nothing")
    func oldestFirst() throws {
        let run = try StalledRun(order: ",order=oldest-first")
        for _ in 0..<30 { try run.give(30) }
        #expect(try run.release().packets.map { number(of: $0) } == Array(0..<900))
    }

    @Test("--batch-size and --batch-packets bound every batch, and a larger record is a batch of its own")
    func batchLimits() throws {
        try withTemporaryDirectory { folder in
            let packets =
                numberedPackets(0..<500) + numberedPackets(500..<502, size: 30_000) + numberedPackets(502..<600)
            try writeFile("\(folder)/in", captureFile(packets))
            let bySize = try relayed(["\(folder)/in"], ["--batch-size", "8K"], captured: 600, encoded: 600)
            expectSame(bySize.packets, packets)
            for batch in bySize.batches {
                let bytes = batch.packets.reduce(96) { $0 + 32 + ($1.bytes.count + 3) / 4 * 4 }
                #expect(bytes <= 8192 || batch.packets.count == 1)
            }
            let byCount = try relayed(["\(folder)/in"], ["--batch-packets", "7"], captured: 600, encoded: 600)
            expectSame(byCount.packets, packets)
            #expect(byCount.batches.allSatisfy { $0.packets.count <= 7 })
            #expect(Set(byCount.batches.map(\.number)) == Set(0..<UInt64(byCount.batches.count)))
            #expect(Set(byCount.batches.map(\.run)).count == 1)
        }
    }
}
