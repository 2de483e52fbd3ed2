import Glibc
import TestSupport
import Testing

/// Losses of a whole run, compared with what is really missing. Those of one queue are in CaptureTests/XDPQueueTests.
@Suite("What AF_XDP capture loses", .serialized)
struct XDPDropTests {
    /// A filter that every frame passes, after a long while.
    private static var slowFilter: String {
        (0..<1200).map { "udp[\(8 + $0 % 4):4] = \(0x7000_0000 + $0)" }.joined(separator: " or ") + " or udp"
    }

    @Test("A worker that is too slow: what the ring could not take is counted to the packet", arguments: XDPTests.rungs)
    func slowWorker(rung: String) throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let count = 60_000
                let running = try space.xdpRelay(
                    try ["-i", "right", "--capture", rung, "-f", Self.slowFilter, "-w", "\(folder)/file"] + pipeline())
                try space.send(0..<count, size: 1000)
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result, captured: count)
                let dropped = report.reasons("dropped").filter { $0.value > 0 }
                #expect(dropped["ring"] ?? 0 > 0)
                #expect(Set(dropped.keys).isSubset(of: ["ring", "fill_ring_empty", "rx_ring_full"]))
                let numbers = Set(try Stream(readFile("\(folder)/file")).packets.map { number(of: $0) })
                #expect(numbers.count + Int(dropped.values.reduce(0, +)) == count)
            }
        }
    }
}
