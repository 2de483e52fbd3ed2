internal import Glibc
internal import Machine
internal import Synchronization

/// A line for each request, as JSON, in a file or on standard output. Lines are collected and written together, at the latest
/// after a second.
final class AccessLog: Sendable {
    private let descriptor: Int32
    private let pending = Mutex<[UInt8]>([])
    private static let full = 1 << 16

    /// Opens the file, to add to it; `-` is standard output.
    init(_ path: String) throws(SystemError) {
        if path == "-" {
            descriptor = STDOUT_FILENO
            return
        }
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        if descriptor < 0 { throw SystemError("open", path) }
    }

    /// What a line says.
    struct Line {
        var client: Endpoint
        var method: String
        var target: String
        var status: UInt16
        var bytes: UInt64
        var nanoseconds: UInt64
    }

    /// Adds a line.
    func add(_ line: Line) {
        var text: [UInt8] = []
        text.append("{\"time\":\"")
        text.append(HTTPDate.internetText(Int(Clock.realtime() / 1_000_000_000)))
        text.append("\",\"client\":\"\(line.client)\",\"method\":\"\(line.method)\",\"target\":\"")
        for byte in Self.withoutSignature(line.target).utf8 {
            // Whatever a client sends, the log stays one line of JSON.
            if byte < 0x20 || byte == 0x7F || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                text.append("\\u00")
                text.append(String(byte >> 4, radix: 16))
                text.append(String(byte & 15, radix: 16))
            } else {
                text.append(byte)
            }
        }
        text.append(
            "\",\"status\":\(line.status),\"bytes\":\(line.bytes),\"microseconds\":\(line.nanoseconds / 1000)}\n")
        let isFull = pending.withLock { pending in
            pending += text
            return pending.count >= Self.full
        }
        if isFull { flush() }
    }

    /// A link that expires is as good as a token until then, so whoever reads the log does not get it whole.
    private static func withoutSignature(_ target: String) -> String {
        guard let mark = target.firstIndex(of: "?") else { return target }
        let parts = target[target.index(after: mark)...].split(separator: "&", omittingEmptySubsequences: false)
        let shown = parts.map { $0.hasPrefix("signature=") ? "signature=-" : $0 }
        return target[...mark] + shown.joined(separator: "&")
    }

    /// Writes what has been collected. A log that cannot be written loses lines, never a request.
    func flush() {
        pending.withLock { pending in
            guard !pending.isEmpty else { return }
            _ = unsafe pending.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
            pending.removeAll(keepingCapacity: true)
        }
    }
}
