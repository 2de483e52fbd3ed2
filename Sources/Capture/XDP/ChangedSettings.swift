import Glibc

/// What a run is about to change on an interface for its own time, written down under /run beforehand. A process that is killed
/// sets nothing back; the next one that captures from the interface finds it here.
struct ChangedSettings {
    /// nil where network namespaces cannot be told apart.
    private let path: String?

    private static let folder = "/run/spillway"

    /// The record of an interface, by its index in this network namespace.
    init(_ interface: UInt32) {
        var facts = stat()
        let isKnown = unsafe stat("/proc/self/ns/net", &facts) == 0
        path = isKnown ? "\(Self.folder)/changed-\(facts.st_ino)-\(interface)" : nil
    }

    /// Writes down what stood there. What cannot be written is not kept: capture is worth more.
    func write(_ settings: [(setting: String, value: String)]) {
        guard let path, !settings.isEmpty else { return }
        unsafe mkdir(Self.folder, 0o755)
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o644)
        guard file >= 0 else { return }
        defer { close(file) }
        let text = settings.map { "\($0.setting) \($0.value)\n" }.joined()
        _ = unsafe Glibc.write(file, text, text.utf8.count)
    }

    /// What a run that is no more had written down. Lines that are none of ours are left out.
    func read() -> [(setting: String, value: String)] {
        guard let path else { return [] }
        let file = unsafe open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = max(0, unsafe Glibc.read(file, &bytes, bytes.count))
        return String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count == 2 ? (String(words[0]), String(words[1])) : nil
        }
    }

    /// Everything is as it was.
    func remove() {
        if let path { unsafe unlink(path) }
    }
}
