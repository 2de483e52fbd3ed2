import TestSupport
import Testing

/// A classic capture file of some small packets, by hand.
private func capture(packets: Int, cut: Int = 0) -> [UInt8] {
    var bytes: [UInt8] = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0] + [UInt8](repeating: 0, count: 8)
    bytes += [0, 0, 4, 0, 1, 0, 0, 0]
    for number in 0..<packets {
        bytes += [1, 0, 0, 0, UInt8(number), 0, 0, 0, 20, 0, 0, 0, 20, 0, 0, 0]
        bytes += [UInt8](repeating: UInt8(number), count: 20)
    }
    return Array(bytes.dropLast(cut))
}

/// What only turns out when the relay opens, binds and connects: each kind of end has its code, and the message names
/// the option and the value.
@Suite("Exit codes of runs")
struct RelayExitCodeTests {
    /// Runs with a small budget in a folder that has a capture file `good.pcap`.
    private func relay(_ arguments: [String], _ body: (CommandResult, String) throws -> Void) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/good.pcap", capture(packets: 5))
            try writeFile("\(folder)/cut.pcap", capture(packets: 5, cut: 3))
            try writeFile("\(folder)/text.pcap", Array("this is no capture file".utf8))
            let all = ["run"] + arguments + (arguments.contains("--memory") ? [] : ["--memory", "32M"])
            try body(try spillway(all, directory: folder), folder)
        }
    }

    @Test("0: everything was delivered; the report goes to standard output, the account to standard error")
    func done() throws {
        try relay(["-r", "good.pcap", "--to", "null", "--report", "-"]) { result, _ in
            expect(result, exits: 0, naming: ["delivered"])
            #expect(result.outputText.hasPrefix("{") && result.outputText.contains("\"captured\": 5"))
        }
    }

    @Test("The report goes into a file")
    func reportFile() throws {
        try relay(["-r", "good.pcap", "-w", "out.pcapng", "--report", "r.json"]) { result, folder in
            expect(result, exits: 0)
            #expect(result.output.isEmpty)
            let report = String(decoding: try readFile("\(folder)/r.json"), as: UTF8.self)
            #expect(report.hasPrefix("{") && report.hasSuffix("}\n") && report.contains("\"captured\": 5"))
        }
    }

    @Test(
        "Every other end is named",
        arguments: [
            (64, ["-r", "good.pcap", "--to", "null", "-f", "no such ("], ["-f no such ("]),
            (64, ["-r", "good.pcap", "--to", "null", "--memory", "1M"], ["--memory 1M"]),
            (64, ["-r", "good.pcap", "--to", "null", "--capture-cpus", "1023"], ["--capture-cpus 1023"]),
            (65, ["-r", "text.pcap", "--to", "null"], ["text.pcap", "offset 0"]),
            (65, ["-r", "cut.pcap", "--to", "null"], ["cut.pcap", "offset 168"]),
            (66, ["-r", "none.pcap", "--to", "null"], ["none.pcap", "No such file"]),
            (66, ["-i", "nosuchinterface", "--to", "null"], ["-i nosuchinterface"]),
            (69, ["-r", "good.pcap", "--to", "127.0.0.1:1", "--drain-timeout", "300ms"], ["--to 127.0.0.1:1"]),
            (71, ["-r", "good.pcap", "--listen", "192.0.2.1:0"], ["--listen 192.0.2.1:0"]),
            (71, ["-r", "good.pcap", "--to", "null", "--metrics", "192.0.2.1:0"], ["--metrics 192.0.2.1:0"]),
            (73, ["-r", "good.pcap", "-w", "none/out.pcapng"], ["-w none/out.pcapng", "No such file"]),
            (74, ["-r", "good.pcap", "-w", "/dev/full"], ["-w /dev/full", "No space left"]),
            (74, ["-r", "good.pcap", "--to", "null", "--report", "/dev/full"], ["--report", "/dev/full", "No space"]),
        ] as [(Int32, [String], [String])])
    func ends(code: Int32, arguments: [String], words: [String]) throws {
        try relay(arguments) { result, _ in expect(result, exits: code, naming: words) }
    }

    @Test("A damaged file still delivers what stands before the damage")
    func damaged() throws {
        try relay(["-r", "cut.pcap", "--to", "null", "--report", "-"]) { result, _ in
            expect(result, exits: 65)
            #expect(result.outputText.contains("\"captured\": 4"))
        }
    }

    @Test("Options of the environment and of the file reach the run")
    func layers() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/good.pcap", capture(packets: 5))
            try writeFile("\(folder)/site.yaml", Array("read: good.pcap\nto: null\nmemory: 32M\ncount: 2\n".utf8))
            for (environment, commandLine, packets) in [
                ([:], [], 2), (["SPILLWAY_COUNT": "3"], [], 3), (["SPILLWAY_COUNT": "3"], ["--count", "4"], 4),
            ] as [([String: String], [String], Int)] {
                let result = try spillway(
                    ["run", "--config", "site.yaml", "--report", "-"] + commandLine, environment: environment,
                    directory: folder)
                expect(result, exits: 0)
                #expect(result.outputText.contains("\"encoded\": \(packets),"))
            }
        }
    }
}
