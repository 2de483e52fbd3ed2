import Glibc

/// Interrupts of a card that wait while a socket is busily polled, and come as before afterwards
/// (Documentation/networking/napi.rst). A process that is killed leaves them waiting: they are the interface's, and the kernel
/// gives them to nobody.
struct DeferredInterrupts: ~Copyable {
    /// What could not be set, and why; empty if all was.
    let problems: [String]
    private let before: [(path: String, value: String)]

    /// So many empty polls the card stays silent, and so many nanoseconds it waits for the next poll before it asks for
    /// one: long enough for a burst of packets to be worked off, short enough to be of no harm if nobody polls.
    private static let settings = [("napi_defer_hard_irqs", "2"), ("gro_flush_timeout", "200000")]

    /// Has the interrupts of an interface wait.
    init(_ name: String) {
        var problems: [String] = []
        var before: [(path: String, value: String)] = []
        for (setting, value) in Self.settings {
            let path = "/sys/class/net/\(name)/\(setting)"
            guard let present = Self.read(path), Self.write(value, to: path) else {
                problems.append("\(path): \(unsafe String(cString: strerror(errno)))")
                continue
            }
            before.append((path, present))
        }
        (self.problems, self.before) = (problems, before)
    }

    deinit { for (path, value) in before { _ = Self.write(value, to: path) } }

    private static func read(_ path: String) -> String? {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = unsafe Glibc.read(file, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes.prefix(count).prefix { $0 > 32 }, as: UTF8.self) : nil
    }

    private static func write(_ value: String, to path: String) -> Bool {
        let file = unsafe open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return unsafe Glibc.write(file, value, value.utf8.count) == value.utf8.count
    }
}
