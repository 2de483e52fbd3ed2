import Glibc

/// The program under the names that mount(8) calls: `mount.spillway` and `mount.pcap`.
enum MountHelper {
    static let names = ["mount.spillway", "mount.pcap"]

    /// The arguments of `spillway mount` that stand for those of a mount helper (mount(8), "External helpers"); nil when the
    /// program goes by another name. An empty list means that nothing is to be done.
    static func arguments(_ all: [String]) -> [String]? {
        guard let program = all.first?.split(separator: "/").last, names.contains(String(program)) else { return nil }
        var result = ["mount"]
        var rest = all.dropFirst()
        while let word = rest.popFirst() {
            switch word {
            case "-o":
                if let list = rest.popFirst() { result += ["-o", list] }
            case "-t", "-N":
                _ = rest.popFirst()
            case "--help", "-h", "--version", "--foreground":
                result.append(word)
            case _ where word.hasPrefix("-o"):
                result += ["-o", String(word.dropFirst(2))]
            case _ where word.hasPrefix("-") && word.count > 1:
                // -n, -s, -v say nothing that matters here; -f asks only for a rehearsal.
                if word.dropFirst().contains("f") { return [] }
            default:
                result.append(word)
            }
        }
        return result
    }
}
