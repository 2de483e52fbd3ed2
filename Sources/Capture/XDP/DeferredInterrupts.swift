import Glibc

/// Interrupts of a card that wait while a socket is busily polled, and come as before afterwards
/// (Documentation/networking/napi.rst). A process that is killed leaves them waiting, until the next one finds what stood there
/// before (`ChangedSettings`).
struct DeferredInterrupts: ~Copyable {
    /// What could not be set, and why; empty if all was.
    let problems: [String]
    private let interface: UInt32
    private let before: [(setting: String, value: String)]

    /// So many empty polls the card stays silent, and so many nanoseconds it waits for the next poll before it asks for
    /// one: long enough for a burst of packets to be worked off, short enough to be of no harm if nobody polls.
    private static let settings = [("napi_defer_hard_irqs", "2"), ("gro_flush_timeout", "200000")]

    /// Has the interrupts of an interface wait.
    init(_ interface: UInt32) {
        self.interface = interface
        var problems: [String] = []
        var before: [(setting: String, value: String)] = []
        for (setting, value) in Self.settings {
            let path = Self.path(setting, of: interface)
            guard let present = Self.read(path), Self.write(value, to: path) else {
                problems.append("\(path): \(unsafe String(cString: strerror(errno)))")
                continue
            }
            before.append((setting, present))
        }
        (self.problems, self.before) = (problems, before)
    }

    deinit { Self.setBack(before, of: interface) }

    /// The values of all settings now, as far as they can be read.
    static func present(of interface: UInt32) -> [(setting: String, value: String)] {
        settings.compactMap { setting, _ in read(path(setting, of: interface)).map { (setting, $0) } }
    }

    /// Sets back what is one of these settings.
    static func setBack(_ values: [(setting: String, value: String)], of interface: UInt32) {
        for (setting, value) in values where settings.contains(where: { $0.0 == setting }) {
            _ = write(value, to: path(setting, of: interface))
        }
    }

    /// Where a setting is now: the interface may have been renamed.
    private static func path(_ setting: String, of interface: UInt32) -> String {
        "/sys/class/net/\(PcapInterface.name(of: interface) ?? "")/\(setting)"
    }

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
