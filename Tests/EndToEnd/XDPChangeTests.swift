import Glibc
import TestSupport
import Testing

@Suite("Interfaces that change under way, and hosts that are short of something", .serialized)
struct XDPChangeTests {
    /// What the interface keeps if nobody sets it back: VLAN tag stripping, and interrupts that wait.
    private func settings(of interface: String, in space: NetworkNamespace) throws -> [String] {
        try requireTool("ethtool")
        let features = space.inside("ethtool", ["-k", interface])
        let lines = try run(features.tool, features.arguments).checked().outputLines
        let paths = ["napi_defer_hard_irqs", "gro_flush_timeout"].map { "/sys/class/net/\(interface)/\($0)" }
        let interrupts = space.inside("cat", paths)
        return try lines.filter { $0.hasPrefix("rx-vlan-offload") }
            + run(interrupts.tool, interrupts.arguments).checked().outputLines
    }

    @Test(
        "Renamed again and again: capture goes on, and what was set is set back under the new name",
        arguments: ["xdp-native", "xdp-generic"])
    func renamed(rung: String) throws {
        try withNetworkNamespace { space in
            let before = try settings(of: "right", in: space)
            let reader = try space.reader()
            let polls = rung == "xdp-native" ? ["--busy-poll"] : []
            let running = try space.xdpRelay(["-i", "right", "--capture", rung, "--to", reader.address] + polls)
            try space.send(0..<300)
            var name = "right"
            for round in 0..<6 {
                try space.ip("link", "set", name, "name", "other\(round)")
                name = "other\(round)"
                // Longer than the pauses in which capture looks whether the interface is still there.
                usleep(150_000)
            }
            #expect(try settings(of: name, in: space) != before)
            try space.ip("link", "set", name, "down")
            usleep(150_000)
            try space.ip("link", "set", name, "up")
            try space.send(300..<600)
            try reader.waitFor(packets: 600)
            let result = try stop(running)
            result.expect(exits: 0)
            try expectLedger(result, captured: 600, encoded: 600)
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<600)
            #expect(try settings(of: name, in: space) == before)
        }
    }

    @Test("Receive queues that are added under way: what comes by them stays with the stack, and is counted")
    func queuesAdded() throws {
        try requireTool("ethtool")
        try withNetworkNamespace { space in
            try space.makePair(queues: 4)
            func setQueues(_ count: Int) throws {
                let command = space.inside("ethtool", ["-L", "right", "rx", "\(count)"])
                try run(command.tool, command.arguments).checked()
            }
            try setQueues(1)
            let running = try space.xdpRelay(["-i", "right", "--to", "null"])
            try setQueues(4)
            let sender = try space.enter { try FrameSender("left") }
            // Many flows, so that the sender's hash chooses all queues.
            for number in 0..<2000 { try sender.send(numberedFrame(number, port: UInt16(1000 + number % 500))) }
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result)
            let others = try report.count("other_queues")
            #expect(others > 0)
            #expect(try report.count("captured") + others == 2000)
        }
    }

    @Test(
        "71: somebody detaches the program; all queues end, and what came before is delivered",
        arguments: [[], ["--busy-poll"]])
    func detached(options: [String]) throws {
        try requireTool("bpftool")
        try withNetworkNamespace { space in
            try space.makePair(queues: 2)
            let reader = try space.reader()
            let running = try space.xdpRelay(["-i", "right", "--to", reader.address] + options, queues: 2)
            try space.send(0..<300)
            try reader.waitFor(packets: 300)
            let presence = try #require(try space.xdpProgram("right"))
            guard case .array(let links) = try JSON(run("bpftool", ["-j", "link", "show"]).checked().output) else {
                throw Unexpected("bpftool shows no links")
            }
            let link = links.first { $0["type"] == .text("xdp") && $0["prog_id"]?.count == UInt64(presence.program) }
            let identifier = try #require(link?["id"]?.count)
            try run("bpftool", ["link", "detach", "id", "\(identifier)"]).checked()
            let result = try running.finish()
            result.expect(exits: 71, naming: ["right", "detached"])
            try expectLedger(result, captured: 300, encoded: 300)
            try reader.waitForEnd()
            expectFrames(try Stream(reader.streams[0]).packets, 0..<300)
        }
    }

    @Test("A signal that comes while an output is waited for leaves the interface as it was")
    func endedEarly() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let before = try settings(of: "right", in: space)
                let status = unsafe mkfifo("\(folder)/pipe", 0o600)
                #expect(status == 0)
                let running = try RunningRelay(
                    ["-i", "right", "--busy-poll", "-w", "\(folder)/pipe"], namespace: space)
                try waitUntil("the program is attached") { try space.xdpProgram("right") != nil }
                running.child.send(signal: SIGTERM)
                _ = try running.finish()
                #expect(try space.xdpProgram("right") == nil)
                #expect(try settings(of: "right", in: space) == before)
            }
        }
    }

    @Test("71: too few descriptors, with the limit to raise. 77: CAP_PERFMON alone is missing")
    func shortOfSomething() throws {
        for tool in ["setpriv", "prlimit"] { try requireTool(tool) }
        try withNetworkNamespace { space in
            func fails(_ prefix: [String], _ code: Int32, _ word: String) throws {
                let program = try builtExecutable("spillway")
                let words = [program, "run", "-i", "right", "--capture", "xdp-native", "--to", "null"]
                let command = space.inside(prefix[0], prefix.dropFirst() + words)
                let result = try run(command.tool, command.arguments)
                #expect(result.status == .exited(code), "\(prefix)\n\(result.errorText)")
                #expect(result.errorText.contains(word), "\(prefix)\n\(result.errorText)")
                #expect(try space.xdpProgram("right") == nil)
            }
            for count in [8, 10, 12, 14, 16] { try fails(["prlimit", "--nofile=\(count)"], 71, "LimitNOFILE") }
            // What CAP_SYS_ADMIN allows, CAP_PERFMON does.
            try fails(
                ["setpriv", "--bounding-set=-perfmon,-sys_admin", "--inh-caps=-perfmon,-sys_admin"], 77, "CAP_PERFMON")
        }
    }

    @Test("The loopback interface is mirrored unless consuming is asked for; all interfaces at once always are")
    func loopback() throws {
        try withNetworkNamespace { space in
            for (name, reason) in [("lo", "loopback"), ("any", "one interface")] {
                let running = try RunningRelay(["-i", name, "--to", "null"], namespace: space)
                try space.waitForCaptures()
                try stop(running).expect(exits: 0, naming: ["af-packet", reason])
            }
            try RunningRelay(["-i", "lo", "--capture", "xdp-generic", "--to", "null"], namespace: space).finish()
                .expect(exits: 64, naming: ["loopback", "--tap consume"])
            let running = try space.xdpRelay(["-i", "lo", "--tap", "consume", "--to", "null"])
            try stop(running).expect(exits: 0, naming: ["xdp-generic"])
        }
    }
}
