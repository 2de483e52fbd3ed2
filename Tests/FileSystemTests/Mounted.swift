import Glibc
import TestSupport
import Testing

/// A mounted directory of captures, with the program in the foreground as a child. It is unmounted when the value goes away.
final class Mounted {
    let source: String
    let mountpoint: String
    private let folder: String
    private let child: ChildProcess
    private var readers = 0

    /// Fills a source directory and mounts it.
    init(_ options: String = "", fill: (_ source: String) throws -> Void = { _ in }) throws {
        try require(geteuid() == 0, orSkip: "mounting in tests needs root")
        try require(unsafe access("/dev/fuse", R_OK | W_OK) == 0, orSkip: "there is no /dev/fuse")
        folder = makeTemporaryDirectory()
        source = "\(folder)/source"
        mountpoint = "\(folder)/mount"
        try makeDirectory(source)
        try makeDirectory(mountpoint)
        try fill(source)
        let words = ["mount", source, mountpoint, "--foreground"] + (options.isEmpty ? [] : ["-o", options])
        child = try ChildProcess(try builtExecutable("spillway"), words)
        try waitUntilMounted(mountpoint)
    }

    deinit {
        _ = try? run("fusermount3", ["-u", "-z", mountpoint])
        child.send(signal: SIGKILL)
        removeTree(folder)
    }

    /// The path of a name below the mountpoint.
    func path(_ name: String) -> String { "\(mountpoint)/\(name)" }

    /// What the program said.
    var log: String { child.errorText }

    /// The daemon's process.
    var process: Int32 { child.identifier }

    func send(signal: Int32) { child.send(signal: signal) }
    func wait() throws -> CommandResult { try child.wait() }

    /// Waits until the program has said something.
    func waitForLog(_ text: String) throws { try child.waitUntil { _, errors in errors.contains(text) } }

    /// Writes a file of the source.
    func put(_ name: String, _ bytes: [UInt8]) throws { try writeFile("\(source)/\(name)", bytes) }

    /// Adds to a file of the source.
    func add(_ name: String, _ bytes: [UInt8]) throws { try append("\(source)/\(name)", bytes) }

    /// What cat gets out of a name; it must come to an end.
    func cat(_ name: String) throws -> [UInt8] { try run("cat", [path(name)]).checked().output }

    /// A cat that goes on reading.
    func reader(_ name: String) throws -> LiveReader {
        readers += 1
        return try LiveReader(path(name), to: "\(folder)/out\(readers)")
    }

    /// The errno of a call on a path below the mountpoint, 0 for success.
    func errnoOf(_ name: String, _ call: (String) -> Int32) -> Int32 { call(path(name)) < 0 ? errno : 0 }

    func size(_ name: String) throws -> Int64 { Int64(try status(path(name)).st_size) }
}

/// Waits until something is mounted there.
func waitUntilMounted(_ path: String) throws {
    let parent = try status("\(path)/..")
    for _ in 0..<10_000 {
        if let now = try? status(path), now.st_dev != parent.st_dev { return }
        usleep(1000)
    }
    throw Problem("\(path): nothing was mounted within 10 s")
}

/// Unmounts; a mount is busy for the moment in which somebody looks at it.
func unmount(_ path: String) throws {
    for _ in 0..<1000 {
        let result = try run("fusermount3", ["-u", path])
        if result.status == .exited(0) { return }
        guard result.errorText.contains("busy") else { throw Problem(result.errorText) }
        usleep(10_000)
    }
    throw Problem("\(path): it stayed busy for 10 s")
}

func status(_ path: String) throws -> stat {
    var result = stat()
    guard unsafe stat(path, &result) == 0 else { throw Problem("stat \(path): errno \(errno)") }
    return result
}

func makeDirectory(_ path: String) throws {
    guard unsafe mkdir(path, 0o755) == 0 else { throw Problem("mkdir \(path): errno \(errno)") }
}

/// Adds bytes to a file with one call of write(2).
func append(_ path: String, _ bytes: [UInt8]) throws {
    let file = unsafe open(path, O_WRONLY | O_APPEND | O_CREAT, 0o644)
    defer { close(file) }
    let count = unsafe bytes.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
    guard count == bytes.count else { throw Problem("write \(path): errno \(errno)") }
}

/// A capture of some packets; each has its number in it.
func capture(
    _ numbers: Range<Int>, _ magic: ClassicBuilder.Magic = .microseconds, order: ByteOrder = .little,
    snapLength: UInt32 = 262_144, linkType: UInt32 = 1, size: Int = 100
) -> [UInt8] {
    var file = ClassicBuilder(magic, order: order, snapLength: snapLength, linkTypeWord: linkType)
    for number in numbers {
        file.packet(seconds: UInt32(1000 + number), fraction: 7, sampleBytes(size + number % 50, seed: number))
    }
    return file.built("").bytes
}

/// A pcapng capture of some packets.
func captureNG(
    _ numbers: Range<Int>, order: ByteOrder = .little, snapLength: UInt32 = 262_144, linkType: UInt16 = 1
) -> [UInt8] {
    var file = PcapngBuilder()
    file.section(order)
    file.interface(linkType: linkType, snapLength: snapLength, resolution: 9)
    for number in numbers { file.enhanced(0, units: UInt64(number), sampleBytes(60 + number % 50, seed: number)) }
    return file.built("").bytes
}

/// Classic captures as one, by the rule of the description: the headers of all but the first are left out.
func joinedCaptures(_ files: [UInt8]...) -> [UInt8] { files[0] + files.dropFirst().flatMap { $0.dropFirst(24) } }

/// A step of a test that did not work.
struct Problem: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A cat of a live stream, and what it got so far.
final class LiveReader {
    private let child: ChildProcess
    private let output: String

    init(_ path: String, to output: String) throws {
        self.output = output
        try writeFile(output, [])
        child = try ChildProcess("sh", ["-c", "exec cat \"$0\" >> \"$1\"", path, output])
    }

    /// Its process, which is what the mount sees.
    var identifier: Int32 { child.identifier }
    var bytes: [UInt8] { (try? readFile(output)) ?? [] }
    func isRunning() -> Bool { child.isRunning() }
    func wait() throws -> CommandResult { try child.wait() }
    func send(signal: Int32) { child.send(signal: signal) }

    /// Waits until it has so many bytes.
    func waitFor(_ count: Int) throws {
        try child.waitUntil { _, _ in ((try? status(output).st_size) ?? 0) >= count }
    }
}

/// Checks that bytes are the same, and says only where they begin to differ.
func expectSame(
    _ found: some Collection<UInt8>, _ expected: some Collection<UInt8>, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let (found, expected) = (Array(found), Array(expected))
    if found == expected { return }
    let same = zip(found, expected).prefix { $0 == $1 }.count
    Issue.record(
        "\(what): \(found.count) bytes instead of \(expected.count), same up to \(same)", sourceLocation: sourceLocation
    )
}
