import Glibc
import TestSupport
import Testing

/// Where the scripts are.
var profileTool: String {
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/tools/profile"
}

@Suite("tools/profile", .serialized)
struct ProfileTests {
    private let tool = profileTool

    /// The relay of these tests. A namespace of its own has a free port 9100.
    private func start(_ space: NetworkNamespace) throws -> RunningRelay {
        try space.xdpRelay(
            ["-i", "right", "--to", "null", "--metrics", "127.0.0.1:9100"] + Threading.pipelined.options())
    }

    /// What a command says of a relay.
    private func profile(_ command: String, _ relay: RunningRelay, _ options: [String] = []) throws -> String {
        try run(tool, [command, "--pid", "\(relay.child.identifier)"] + options).checked().outputText
    }

    /// The words of the line that begins with these.
    private func words(_ text: String, after start: [Substring]) throws -> [Substring] {
        let lines = text.split(separator: "\n").map { $0.split(separator: " ") }
        let line = lines.first { $0.starts(with: start) }
        return try Array(#require(line, "\(start) in\n\(text)").dropFirst(start.count))
    }

    @Test("threads, stages and rings know the threads as the kernel does, and count packets as the report does")
    func packets() throws {
        try withNetworkNamespace { space in
            let relay = try start(space)
            let threads = try profile("threads", relay)
            for (id, name) in try Self.tasks(of: relay.child.identifier) where name.contains("-") {
                #expect(try words(threads, after: [id[...], name[...]])[1...2] == ["right", "0"])
            }
            let sender = try SteadySender(space)
            let busy = try profile("stages", relay, ["-d", "1"])
            for (stage, thread) in [("capture", "capture-0"), ("worker", "worker-0")] {
                let row = try words(busy, after: [stage[...], thread[...], "right:0"])
                #expect(try #require(Int(row[0])) > 0, "\(busy)")
                #expect(try #require(Double(row[2])) > 0, "\(busy)")
            }
            #expect(try #require(Double(words(busy, after: ["all"])[2])) > 0)
            let sent = sender.stop()
            // The capture thread tells its figures ten times a second.
            try waitUntil("all is counted") {
                try words(profile("stages", relay, ["-d", "1"]), after: ["captured"]).last == "\(sent)"
            }
            let still = try profile("stages", relay, ["-d", "1"])
            #expect(try words(still, after: ["capture", "capture-0", "right:0"])[0] == "0")
            let rings = try profile("rings", relay, ["-n", "1"])
            let report = try expectLedger(stop(relay), captured: sent)
            for name in ["captured", "received"] {
                let count = try report.count(name)
                #expect(try words(still, after: [name[...]]).last == "\(count)")
                #expect(try words(rings, after: ["right:0", name[...]]) == ["\(count)"])
            }
        }
    }

    @Test("rings names each loss, and how many, as the report does")
    func losses() throws {
        try withNetworkNamespace { space in
            let relay = try start(space)
            // Nobody takes frames from the receive rings of a relay that is held up.
            relay.child.send(signal: SIGSTOP)
            try space.send(0..<20_000)
            relay.child.send(signal: SIGCONT)
            try waitUntil("all is counted") {
                try words(profile("rings", relay, ["-n", "1"]), after: ["right:0", "captured"]) == ["20000"]
            }
            let rings = try profile("rings", relay, ["-n", "1"])
            let report = try expectLedger(stop(relay), captured: 20_000)
            let lost = report.reasons("dropped").filter { $0.value > 0 }
            #expect(!lost.isEmpty)
            for (reason, count) in lost {
                #expect(try words(rings, after: ["right:0", "dropped{\(reason)}"]) == ["\(count)"])
            }
        }
    }

    @Test("cpu, flame, stat and sched name the threads by stage and queue")
    func time() throws {
        try requireTool("perf")
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let relay = try start(space)
                let sender = try SteadySender(space)
                defer { _ = sender.stop() }
                let counted = try profile("stat", relay, ["-d", "1"])
                let waited = try profile("sched", relay, ["-d", "1"])
                for thread in ["capture-0", "worker-0"] {
                    #expect(try #require(Double(words(counted, after: [thread[...], "right:0"])[0])) > 0)
                    let row = try words(waited, after: [thread[...], "right:0"])
                    #expect(try #require(Int(row[1])) > 0)
                    let waits = try row[4...6].map { try #require(Double($0)) }
                    #expect(waits == waits.sorted(), "\(waited)")
                }
                let used = try profile("cpu", relay, ["-d", "1", "-t", "right:0"])
                #expect(used.contains("worker-0, right queue 0: ") && !used.contains("egress"), "\(used)")
                #expect(try profile("cpu", relay, ["-d", "1", "-C", "0"]).contains(" % of a CPU"))
                try expectFlame(
                    profile("flame", relay, ["-d", "1", "-o", "\(folder)/flame.svg"]), "\(folder)/flame.svg")
                try stop(relay).expect(exits: 0)
            }
        }
    }

    /// The picture's boxes lie where their samples say: all threads together are as many as the command says.
    private func expectFlame(_ said: String, _ path: String) throws {
        let picture = String(decoding: try readFile(path), as: UTF8.self)
        #expect(picture.hasPrefix("<?xml") && picture.hasSuffix("</svg>\n"))
        #expect(picture.ranges(of: "<g>").count == picture.ranges(of: "</g>").count)
        #expect(!picture.contains("href"))
        func samples(_ name: String) throws -> Int {
            let start = try #require(picture.firstRange(of: "<title>\(name): "), "\(name) in the flame graph")
            return try #require(Int(picture[start.upperBound...].prefix { $0.isNumber }))
        }
        let all = try samples("all")
        #expect(said.hasPrefix("\(path): \(all) samples"))
        #expect(try samples("worker-0") > 0 && samples("worker-0") <= all)
    }

    @Test("Each command has a help; what cannot be done is refused with the reason")
    func refused() throws {
        for command in ["stages", "threads", "rings", "cpu", "flame", "stat", "sched"] {
            #expect(try run(tool, [command, "--help"]).checked().outputText.contains("tools/profile \(command)"))
        }
        func fails(_ words: [String], _ code: Int32, _ reason: String) throws {
            let result = try run(words[0], Array(words.dropFirst()))
            #expect(result.status == .exited(code), "\(words)\n\(result.errorText)")
            #expect(result.errorText.contains(reason), "\(words)\n\(result.errorText)")
        }
        try fails([tool, "nonsense"], 64, "'nonsense'")
        try fails([tool, "cpu", "--seconds", "1"], 64, "--seconds")
        try fails([tool, "cpu", "-d", "soon"], 64, "-d soon")
        try fails([tool, "rings", "-C", "0"], 64, "no use for --cpus")
        try fails([tool, "cpu", "-C", "zero"], 64, "list of CPUs")
        try fails([tool, "flame", "-C", "0,60000"], 66, "no CPU 60000")
        try fails([tool, "stages", "-p", "\(Int32.max)"], 66, "no process \(Int32.max)")
        let relay = try RunningRelay(["-r", "-", "--to", "null"])
        try relay.waitFor("segments lie on")
        let process = ["--pid", "\(relay.child.identifier)"]
        try fails([tool, "stages"] + process, 69, "--metrics")
        try fails([tool, "stages", "-m", "127.0.0.1:1"] + process, 69, "127.0.0.1:1")
        try fails([tool, "cpu", "-t", "eth9"] + process, 66, "'eth9'")
        try fails([tool, "flame", "-o", "/nowhere/flame.svg"] + process, 73, "/nowhere/flame.svg")
        try requireRoot()
        try requireTool("setpriv")
        try fails(["setpriv", "--bounding-set=-all", "--inh-caps=-all", tool, "cpu"] + process, 77, "run this as")
        try withTemporaryDirectory { folder in
            // A machine that has all but perf.
            let others = "awk bash cat cut date dirname grep head mktemp paste readlink rm sed sort stat tr"
            for name in others.split(separator: " ") {
                try run("ln", ["-s", requireTool(String(name)), "\(folder)/\(name)"]).checked()
            }
            try fails(["env", "PATH=\(folder)", "bash", tool, "cpu"] + process, 69, "apt-get install linux-perf")
        }
        try relay.child.writeInput(captureFile([]))
        relay.child.closeInput()
        try relay.finish().expect(exits: 0)
    }

    /// Ids and names of a process's threads.
    private static func tasks(of process: Int32) throws -> [(String, String)] {
        try run("ls", ["/proc/\(process)/task"]).checked().outputText.split(separator: "\n").map { id in
            let name = try readFile("/proc/\(process)/task/\(id)/comm")
            return (String(id), String(decoding: name.dropLast(), as: UTF8.self))
        }
    }
}
