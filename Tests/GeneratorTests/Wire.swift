import Glibc
import TestSupport
import Testing

/// A run of the generator over a veth pair, and what tcpdump wrote at the other end.
struct Wire {
    let result: CommandResult
    let report: String
    /// The capture file, as long as the body runs.
    let path: String

    /// A whole number of the report.
    func count(_ name: String) throws -> UInt64 { try #require(UInt64(try text(name))) }

    /// A number of the report.
    func number(_ name: String) throws -> Double { try #require(Double(try text(name))) }

    private func text(_ name: String) throws -> String {
        let start = try #require(report.firstRange(of: "\"\(name)\": "), "\(name) in \(report)").upperBound
        return String(report[start...].prefix { $0.isNumber || $0 == "." })
    }

    /// The values of these fields of all frames but the marker, by tshark with all checksums checked; several values of
    /// one field are separated by commas.
    func fields(_ names: String..., filter: String = "") throws -> [[String]] {
        var arguments = ["-n", "-r", path, "-Y", (filter.isEmpty ? "" : "(\(filter)) && ") + "!(eth.type == 0x88b5)"]
        for layer in ["ip", "udp", "tcp"] { arguments += ["-o", "\(layer).check_checksum:TRUE"] }
        arguments += ["-T", "fields"] + names.flatMap { ["-e", $0] }
        return try run("tshark", arguments).checked().outputLines.map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
    }
}

/// The program, run in a namespace without any SPILLWAY variables.
func generate(_ space: NetworkNamespace, _ arguments: [String]) throws -> (tool: String, arguments: [String]) {
    let program = try builtExecutable("spillway")
    return space.inside("env", ["-u", "SPILLWAY_REQUIRE_ALL", program, "generate"] + arguments)
}

/// Runs the generator on `left` while tcpdump listens on `right`, and hands over what it saw.
///
/// - Parameters:
///   - during: what the running generator is to live through, with tcpdump's file; nothing, usually.
///   - body: looks at what arrived.
func onWire(
    _ arguments: [String], during: (ChildProcess, String) throws -> Void = { _, _ in }, _ body: (Wire) throws -> Void
) throws {
    for tool in ["tcpdump", "tshark"] { try requireTool(tool) }
    try withNetworkNamespace { space in
        try withTemporaryDirectory { folder in
            let path = "\(folder)/right"
            let listen = space.inside(
                "tcpdump", ["-i", "right", "-n", "-B", "65536", "-U", "-Z", "root", "-w", path])
            let tcpdump = try ChildProcess(listen.tool, listen.arguments)
            try tcpdump.waitUntil { _, errors in errors.contains("listening on") }
            let command = try generate(space, ["-i", "left", "--report", "\(folder)/report"] + arguments)
            let child = try ChildProcess(command.tool, command.arguments)
            try during(child, path)
            let result = try child.wait()
            #expect(result.status == .exited(0), "\(result.errorText)")
            // What is sent last arrives last, so when this has arrived, nothing else is on its way.
            try space.enter { try FrameSender("left") }.send(marker)
            try tcpdump.waitUntil { _, _ in (try? readFile(path).suffix(marker.count)) == marker[...] }
            tcpdump.send(signal: SIGINT)
            let end = try tcpdump.wait()
            try require(
                end.errorText.contains("\n0 packets dropped by kernel"),
                orSkip: "tcpdump lost packets: \(end.errorText)")
            // The helper is gone, and nothing of ours is left.
            for name in ["left", "right"] { #expect(try !space.ip("link", "show", name).outputText.contains("xdp")) }
            let report = String(decoding: try readFile("\(folder)/report"), as: UTF8.self)
            try body(Wire(result: result, report: report, path: path))
        }
    }
}

/// A frame of the EtherType for experiments, to tell the end.
private let marker =
    [UInt8](repeating: 0xff, count: 6) + [2, 0, 0, 0, 0, 9, 0x88, 0xb5]
    + Array("the end of what was generated, and of this test".utf8)

/// The number that a payload in hexadecimal begins with, if the word behind it is right up to the end.
func number(of payload: String) throws -> UInt64 {
    let (digits, word) = (Array(payload.utf8), Array("7370696c6c776179".utf8))
    let isRight = digits.count >= 16 && (16..<digits.count).allSatisfy { digits[$0] == word[$0 % 16] }
    return try #require(isRight ? UInt64(payload.prefix(16), radix: 16) : nil, "\(payload)")
}

/// Waits until something holds.
func waitUntil(_ what: String, _ condition: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try !condition() {
        try #require(ContinuousClock.now < deadline, "\(what)")
        usleep(5000)
    }
}
