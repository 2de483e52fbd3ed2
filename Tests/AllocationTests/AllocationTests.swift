import TestSupport
import Testing

/// Goal: nothing is allocated per packet. Method: a child process whose allocator counts by thread relays 200,000 packets,
/// then a million more; what its data-plane threads allocated in between must be nothing at all.
@Suite struct AllocationTests {
    @Test(arguments: [("0", "0"), ("0", "1")])
    func millionPacketsAllocateNothing(capture: String, worker: String) throws {
        let result = try run(builtExecutable("allocation-probe"), [capture, worker])
        #expect(result.status == .exited(0), "\(result.errorText)")
        let lines = result.outputLines.map { $0.split(separator: " ") }
        let expected = capture == worker ? ["capture-0", "egress"] : ["capture-0", "worker-0", "egress"]
        for name in expected {
            let line = try #require(lines.first { $0[0] == name }, "no line for \(name)")
            let before = try #require(Int(line[1]))
            // The counter must have seen the thread at all, or zero would mean nothing.
            #expect(before > 0, "\(name) was never counted")
            #expect(Int(line[2]) == before, "\(name) allocated while packets went through")
        }
    }
}
