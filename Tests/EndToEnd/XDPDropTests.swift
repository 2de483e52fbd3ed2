import Glibc
import TestSupport
import Testing

/// Losses of a whole run, compared with what is really missing. Those of one queue are in CaptureTests/XDPQueueTests.
@Suite("What AF_XDP capture loses", .serialized)
struct XDPDropTests {
    /// A filter that every generated frame passes, after a long sum that libpcap cannot shorten.
    private static var slowFilter: String {
        "(" + (0..<1500).map { "udp[\(8 + $0 % 90)]" }.joined(separator: " + ") + ") != 7"
    }

    /// The number in a generated datagram: 8 bytes behind the headers.
    private func generatedNumber(_ frame: [UInt8]) -> UInt64 { frame[42..<50].reduce(0) { $0 << 8 | UInt64($1) } }

    @Test("A worker that is too slow: what the ring could not take is counted to the packet", arguments: XDPTests.rungs)
    func slowWorker(rung: String) throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let count = 200_000
                let running = try space.xdpRelay(
                    try ["-i", "right", "--capture", rung, "-f", Self.slowFilter, "-w", "\(folder)/file"] + pipeline())
                // Without a native program of ours the sender's driver takes frames only for a peer that polls.
                try requireTool("ethtool")
                let polling = space.inside("ethtool", ["-K", "right", "gro", "on"])
                try run(polling.tool, polling.arguments).checked()
                let load = space.inside(
                    try builtExecutable("spillway"),
                    ["generate", "-i", "left", "--rate", "max", "-c", "\(count)", "--size", "200"])
                try run(load.tool, load.arguments).checked()
                let result = try stop(running)
                result.expect(exits: 0)
                let report = try expectLedger(result, captured: count)
                let dropped = report.reasons("dropped").filter { $0.value > 0 }
                #expect(dropped["ring"] ?? 0 > 0)
                #expect(Set(dropped.keys).isSubset(of: ["ring", "fill_ring_empty", "rx_ring_full"]))
                let numbers = Set(try Stream(readFile("\(folder)/file")).packets.map { generatedNumber($0.bytes) })
                #expect(numbers.count + Int(dropped.values.reduce(0, +)) == count)
            }
        }
    }

    @Test("A full pool: what found no segment is counted to the packet", arguments: XDPTests.rungs)
    func fullPool(rung: String) throws {
        try requireTool("curl")
        try withNetworkNamespace { space in
            let count = 40_000
            let reader = try space.reader(.stalled, receiveBuffer: 4096)
            let running = try space.xdpRelay([
                "-i", "right", "--capture", rung, "--on-full", "drop-newest", "--metrics", "127.0.0.1:0", "--to",
                reader.address, "--memory", "32M",
            ])
            try running.waitFor("connected to")
            try space.send(0..<count, size: 1000)
            try space.waitUntilTaken(count, by: running)
            reader.set(.reading)
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: count)
            try reader.waitForEnd()
            let stream = try Stream(reader.streams[0])
            let numbers = Set(stream.packets.map { number(of: $0) })
            expectFrames(stream.packets, numbers, size: 1000)
            let lost = try report.count("dropped", "pool_full")
            let atCapture = try report.count("dropped", "fill_ring_empty")
            #expect(lost > 0 && numbers.count == count - Int(lost + atCapture))
            #expect(try report.onlyDestination().losses.isEmpty)
        }
    }
}
