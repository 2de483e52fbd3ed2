import Glibc

/// A file operation of a test failed; the message names the operation, the path and the reason.
public struct FileProblem: Error, CustomStringConvertible {
    /// The operation, the path and the system's reason.
    public let description: String

    init(_ operation: String, _ path: String, _ number: CInt = errno) {
        description = "\(operation) \(path): \(systemMessage(number))"
    }
}

/// The system's text for an errno value.
func systemMessage(_ number: CInt) -> String {
    guard let text = unsafe strerror(number) else { return "errno \(number)" }
    return unsafe String(cString: text)
}

/// Runs `body` with the path of a fresh, empty directory, and removes the directory with all that is in it
/// afterwards, also when `body` throws.
///
/// - Parameter folder: where the directory is made; nil means `TMPDIR`, or `/tmp`. Name `/dev/hugepages` or the like
///   to choose a file system.
@discardableResult
public func withTemporaryDirectory<Result, Failure: Error>(
    in folder: String? = nil, _ body: (_ path: String) throws(Failure) -> Result
) throws(Failure) -> Result {
    let path = makeTemporaryDirectory(in: folder)
    defer { removeTree(path) }
    return try body(path)
}

/// The same for a body that suspends.
@discardableResult
public func withTemporaryDirectory<Result, Failure: Error>(
    in folder: String? = nil, _ body: (_ path: String) async throws(Failure) -> Result
) async throws(Failure) -> Result {
    let path = makeTemporaryDirectory(in: folder)
    defer { removeTree(path) }
    return try await body(path)
}

/// Makes a fresh, empty directory and returns its path; the caller removes it. See `withTemporaryDirectory`.
public func makeTemporaryDirectory(in folder: String? = nil) -> String {
    let parent = folder ?? environmentValue("TMPDIR") ?? "/tmp"
    var template = Array("\(parent)/spillway-test-XXXXXX".utf8CString)
    let made = unsafe template.withUnsafeMutableBufferPointer { unsafe mkdtemp($0.baseAddress!) != nil }
    precondition(made, FileProblem("cannot make a directory in", parent).description)
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Removes a file, or a directory with all that is in it. Does not follow symbolic links; what is not there is fine.
public func removeTree(_ path: String) {
    for name in (try? directoryEntries(path)) ?? [] { removeTree("\(path)/\(name)") }
    _ = unsafe remove(path)
}

/// The names in a directory, sorted, without `.` and `..`. A symbolic link to a directory is refused.
public func directoryEntries(_ path: String) throws -> [String] {
    let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileProblem("cannot open", path) }
    guard let stream = unsafe fdopendir(descriptor) else { throw FileProblem("cannot list", path) }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}

/// All bytes of a file.
public func readFile(_ path: String) throws -> [UInt8] {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileProblem("cannot open", path) }
    defer { close(descriptor) }
    guard let bytes = readAll(descriptor) else { throw FileProblem("cannot read", path) }
    return bytes
}

/// Writes a file, replacing what was there.
public func writeFile(_ path: String, _ bytes: [UInt8]) throws {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw FileProblem("cannot create", path) }
    defer { close(descriptor) }
    var written = 0
    while written < bytes.count {
        let count = unsafe bytes.withUnsafeBytes { buffer in
            unsafe write(descriptor, buffer.baseAddress! + written, buffer.count - written)
        }
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { throw FileProblem("cannot write", path) }
        written += count
    }
}

/// Everything in the open file from its start, whatever its read position; nil on an error (see errno).
func readAll(_ descriptor: CInt) -> [UInt8]? {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = unsafe chunk.withUnsafeMutableBytes { buffer in
            unsafe pread(descriptor, buffer.baseAddress, buffer.count, bytes.count)
        }
        if count < 0 && errno == EINTR { continue }
        if count < 0 { return nil }
        if count == 0 { return bytes }
        bytes += chunk[..<count]
    }
}
