import Glibc
import TestSupport
import Testing

@Suite("A directory served beside a run")
struct RunServingTests {
    @Test("Files, queries and metrics are there while the run lasts, on the control CPUs, and end with it")
    func serving() throws {
        try requireTool("curl")
        try withTemporaryDirectory { folder in
            let content = sampleBytes(300_000, seed: 1)
            try writeFile("\(folder)/a.pcap", content)
            let report = "\(folder)/.report"
            let cpu = try #require(
                try run("sh", ["-c", "grep Cpus_allowed_list /proc/self/status"]).checked().outputText
                    .split(whereSeparator: \.isWhitespace).last?.split { !$0.isNumber }.last.map(String.init))
            let arguments = [
                "run", "-r", "-", "--to", "null", "--memory", "160M", "--control-cpus", cpu, "--metrics", "127.0.0.1:0",
                "--serve", "127.0.0.1:0,dir=\(folder)", "--report", report,
            ]
            // A pipe that nobody writes to: the run lasts until a signal.
            let pipe = "\(folder)/.pipe"
            #expect(unsafe mkfifo(pipe, 0o600) == 0)
            let words = (["exec", try builtExecutable("spillway")] + arguments).map { "'\($0)'" }
            let command = words.joined(separator: " ").replacing("'exec'", with: "exec") + " <> '\(pipe)'"
            try withChild("sh", ["-c", command]) { child in
                try child.waitUntil { _, errors in errors.contains("metrics at ") && errors.contains("serving ") }
                let addresses = child.errorText.split(whereSeparator: \.isWhitespace).filter { $0.hasPrefix("http://") }
                let base = try #require(addresses.first { $0.hasSuffix("/") })
                let metrics = try #require(addresses.first { $0.hasSuffix("/metrics") })
                #expect(try run("curl", ["-sSf", "\(base)a.pcap"]).checked().output == content)
                let query = try run("curl", ["-sSf", "\(base)?from=0"]).checked()
                #expect(query.output.starts(with: [0x0A, 0x0D, 0x0D, 0x0A]))
                let text = try run("curl", ["-sSf", String(metrics)]).checked().outputText
                #expect(text.contains("\nspillway_serve_requests_total 2\n"))
                #expect(text.contains("spillway_memory_budget_bytes{purpose=\"connections and queries of --serve\"}"))
                let script =
                    "cd /proc/\(child.identifier)/task; for t in *; do echo $(cat $t/comm) $(grep Cpus_allowed_list $t/status); done"
                let threads = try run("sh", ["-c", script]).checked().outputLines.filter {
                    $0.hasPrefix("serve-") || $0.hasPrefix("helper")
                }
                #expect(threads.count >= 2)
                for thread in threads { #expect(thread.hasSuffix(" \(cpu)"), "\(thread)") }
                child.send(signal: SIGTERM)
                #expect(try child.wait().status == .exited(0))
            }
            #expect(String(decoding: try readFile(report), as: UTF8.self).contains("\"captured\": 0"))
        }
    }

    @Test("Where no directory is named the spill cache is served, as the same bytes that are in it")
    func cache() throws {
        try requireTool("curl")
        let packet = sampleBytes(100, seed: 7)
        try withTemporaryDirectory { folder in
            let (cache, input) = ("\(folder)/cache", "\(folder)/in.pcap")
            try writeFile(input, PacketBuilder.pcapFile([packet], linkType: 1))
            let arguments = [
                "run", "-r", input, "--to", "127.0.0.1:1", "--spill", cache, "--keep", "1h", "--drain-timeout", "60s",
                "--memory", "160M", "--serve", "127.0.0.1:0",
            ]
            try withChild(try builtExecutable("spillway"), arguments) { child in
                try child.waitUntil { _, errors in errors.contains("serving \(cache) on ") }
                let base = try #require(
                    child.errorText.split(whereSeparator: \.isWhitespace).first { $0.hasPrefix("http://") })
                // The run cannot end, because its destination is not there; its one packet is in the cache soon.
                var found: (file: String, bytes: [UInt8])?
                let deadline = ContinuousClock.now + .seconds(50)
                while found == nil, ContinuousClock.now < deadline {
                    let index = try run("curl", ["-sSf", "\(base)?format=json"]).checked().outputText
                    for match in index.matches(of: /"name": ?"([^"]+)"/) {
                        // What the index showed may have another name by now.
                        let served = try run("curl", ["-sS", "\(base)\(match.1)"]).checked().output
                        if served.contains(packet) { found = (String(match.1), served) }
                    }
                    if found == nil { usleep(20_000) }
                }
                let (file, served) = try #require(found)
                child.send(signal: SIGKILL)
                _ = try child.wait()
                #expect(try readFile("\(cache)/\(file)").starts(with: served))
            }
        }
    }

    @Test("What is wrong with it is said before the run begins")
    func exits() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", [])
            let cases: [(String, Int32, String)] = [
                ("nonsense", 64, "--serve nonsense"), ("127.0.0.1:0", 64, "dir=DIR"),
                ("127.0.0.1:0,dir=", 64, "dir=DIR"), ("127.0.0.1:0,port=1", 64, "port"),
                ("127.0.0.1:0,dir=\(folder)/none", 66, "none"), ("192.0.2.1:1,dir=\(folder)", 71, "192.0.2.1"),
            ]
            for (text, code, word) in cases {
                let result = try spillway(["run", "-r", "\(folder)/in", "--to", "null", "--serve", text])
                expect(result, exits: code, naming: [word])
            }
        }
    }
}
