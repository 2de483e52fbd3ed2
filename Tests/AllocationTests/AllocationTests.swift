import TestSupport
import Testing

/// Goal: nothing is allocated per packet. Method: a child process whose allocator counts by thread relays 200,000 packets,
/// then a million more; what its data-plane threads allocated in between must be nothing at all.
@Suite(.serialized) struct AllocationTests {
    @Test("From a pipe", arguments: [("0", "0"), ("0", "1")])
    func pipe(capture: String, worker: String) throws {
        try expectNone(try run(builtExecutable("allocation-probe"), [capture, worker]), isMerged: capture == worker)
    }

    @Test("From AF_XDP", arguments: [("1", "1"), ("0", "1")])
    func wire(capture: String, worker: String) throws {
        try withNetworkNamespace { space in
            let (tool, arguments) = try space.inside(
                builtExecutable("allocation-probe"), [capture, worker, "left", "right"])
            try expectNone(try run(tool, arguments), isMerged: capture == worker)
        }
    }

    @Test("H7: a cluster of the mount allocates nothing per packet")
    func cluster() throws {
        try withTemporaryDirectory { folder in
            var file = ClassicBuilder()
            for number in 0..<100_000 {
                file.packet(seconds: 1, fraction: 1, sampleBytes(60 + number % 3, seed: number % 50))
            }
            try writeFile("\(folder)/a", file.built("").bytes)
            let result = try run(builtExecutable("allocation-probe"), ["share", folder]).checked()
            let lines = result.outputLines.map { $0.split(separator: " ") }
            #expect(lines[1] == ["packets", "100001"])
            let (before, after) = (try #require(Int(lines[0][1])), try #require(Int(lines[0][2])))
            #expect(before > 0, "the thread was never counted")
            // Now and then a list grows; 80,000 packets come in between.
            #expect(after - before < 800)
        }
    }

    private func expectNone(_ result: CommandResult, isMerged: Bool) throws {
        #expect(result.status == .exited(0), "\(result.errorText)")
        let lines = result.outputLines.map { $0.split(separator: " ") }
        for name in isMerged ? ["capture-0", "egress"] : ["capture-0", "worker-0", "egress"] {
            let line = try #require(lines.first { $0[0] == name }, "no line for \(name)")
            let before = try #require(Int(line[1]))
            // The counter must have seen the thread at all, or zero would mean nothing.
            #expect(before > 0, "\(name) was never counted")
            #expect(Int(line[2]) == before, "\(name) allocated while packets went through")
        }
        // A record is 96 bytes. An interface may lose some on a busy machine, but most must have come through.
        let bytes = try #require(lines.first { $0[0] == "bytes" }.flatMap { Int($0[1]) })
        #expect(bytes > 500_000 * 96)
    }
}
