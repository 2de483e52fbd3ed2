import Glibc
import TestSupport
import Testing

/// A running `spillway receive`. It is killed when the value goes away.
final class RunningReceiver {
    let child: ChildProcess
    let out: String
    private let reportFolder = makeTemporaryDirectory()
    private(set) var port: UInt16 = 0

    /// Starts one on a port of the kernel's choice, or this one, and waits until it listens.
    ///
    /// - Parameter crashAt: where it is to die (CONTRIBUTING.md, "Crash points").
    init(_ out: String, _ arguments: [String] = [], port: UInt16 = 0, crashAt: String? = nil) throws {
        self.out = out
        child = try ChildProcess(
            try builtExecutable("spillway"),
            ["receive", "--listen", "127.0.0.1:\(port)", "--out", out, "--report", "\(reportFolder)/r"] + arguments,
            environment: withoutOwnVariables().merging(["SPILLWAY_CRASH_AT": crashAt]) { _, new in new })
        let start = "spillway: receiving at 127.0.0.1:"
        try child.waitUntil { _, errors in errors.contains(start) && errors.contains(" into ") }
        let line = try #require(child.errorText.split(separator: "\n").first { $0.hasPrefix(start) })
        self.port = try #require(UInt16(line.dropFirst(start.count).prefix { $0.isNumber }))
    }

    deinit {
        child.send(signal: SIGKILL, toGroup: true)
        removeTree(reportFolder)
    }

    var address: String { "127.0.0.1:\(port)" }

    /// Kills it at once, as kill -9 does.
    func kill() throws {
        child.send(signal: SIGKILL)
        _ = try child.wait()
    }

    /// Ends it in an orderly way.
    func stop(sourceLocation: SourceLocation = #_sourceLocation) throws -> Report {
        child.send(signal: SIGTERM)
        let result = try child.wait()
        #expect(result.status == .exited(0), "\(result.errorText)", sourceLocation: sourceLocation)
        return Report(try readFile("\(reportFolder)/r"))
    }
}

/// A JSON report, from which single numbers are read.
struct Report {
    let text: String

    init(_ bytes: [UInt8]) { text = String(decoding: bytes, as: UTF8.self) }

    /// All numbers of this name, in order.
    func all(_ name: String) -> [UInt64] {
        text.ranges(of: "\"\(name)\": ").compactMap { UInt64(text[$0.upperBound...].prefix { $0.isNumber }) }
    }

    /// The first number of this name.
    subscript(name: String) -> UInt64? { all(name).first }
}

/// Nothing of what stands in this process's environment about the program reaches a child.
func withoutOwnVariables() throws -> [String: String?] {
    let variables = String(decoding: try readFile("/proc/self/environ"), as: UTF8.self).split(separator: "\0")
    let names = variables.map { variable in String(variable.prefix { $0 != "=" }) }.filter { $0.hasPrefix("SPILLWAY_") }
    return Dictionary(uniqueKeysWithValues: names.map { ($0, nil) })
}

/// Runs `spillway send` to its end.
func send(_ arguments: [String], to receivers: [String]) throws -> CommandResult {
    try run(
        builtExecutable("spillway"), ["send"] + arguments + receivers.flatMap { ["--to", $0] },
        environment: withoutOwnVariables(), timeLimit: .seconds(60))
}

/// Bytes that look random and are the same each time.
func sampleBytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        unsafe withUnsafeBytes(of: state) { unsafe bytes.append(contentsOf: $0) }
    }
    return Array(bytes.prefix(count))
}

/// All files below a directory, by their paths in it, without the receiver's state.
func tree(_ folder: String, _ prefix: String = "") throws -> [String: [UInt8]] {
    var found: [String: [UInt8]] = [:]
    for name in try directoryEntries(folder) where name != ".spillway" {
        var status = stat()
        guard unsafe lstat("\(folder)/\(name)", &status) == 0 else { continue }
        if status.st_mode & S_IFMT == S_IFDIR {
            found["\(prefix)\(name)/"] = []
            found.merge(try tree("\(folder)/\(name)", "\(prefix)\(name)/")) { one, _ in one }
        } else {
            found["\(prefix)\(name)"] = try readFile("\(folder)/\(name)")
        }
    }
    return found
}
