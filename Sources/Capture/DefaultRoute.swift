import Glibc

/// Whether an interface carries a default route, by itself or under a VLAN, bridge or bond: then people may reach this
/// machine through it.
public enum DefaultRoute {
    /// Looks into the routing tables of the calling thread's network namespace (/proc/net, proc(5)).
    public static func isCarried(by interface: String) -> Bool {
        let name = PcapInterface.identity(interface)?.0 ?? interface
        var carriers: Set<String> = []
        var above = interfacesOfRoutes()
        // Each turn goes one level down, from a bridge to its ports for example.
        while let next = above.popFirst() {
            guard carriers.insert(next).inserted else { continue }
            above.formUnion(lowerInterfaces(next))
        }
        return carriers.contains(name)
    }

    private static func interfacesOfRoutes() -> Set<String> {
        // Interface, destination, gateway, flags, three counts, mask: both zero is a default route.
        let ipv4 = lines("/proc/thread-self/net/route").filter {
            $0.count > 7 && $0[1] == "00000000" && $0[7] == "00000000"
        }
        // Destination, its prefix length, ..., flags, interface. 0x200 is RTF_REJECT: a route to nowhere.
        let ipv6 = lines("/proc/thread-self/net/ipv6_route").filter {
            $0.count == 10 && $0[0].allSatisfy { $0 == "0" } && $0[1] == "00"
                && UInt32($0[8], radix: 16).map { $0 & 0x200 == 0 } == true
        }
        return Set(ipv4.map { String($0[0]) } + ipv6.map { String($0[9]) })
    }

    /// The interfaces one stands upon, as sysfs links them (Documentation/ABI/testing/sysfs-class-net).
    private static func lowerInterfaces(_ name: String) -> [String] {
        guard let folder = unsafe opendir("/sys/class/net/\(name)") else { return [] }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let text = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
                unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if text.hasPrefix("lower_") { names.append(String(text.dropFirst(6))) }
        }
        return names
    }

    private static func lines(_ path: String) -> [[Substring]] {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe read(file, &buffer, buffer.count)
            if count <= 0 { break }
            text += buffer.prefix(count)
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").map {
            $0.split { $0 == " " || $0 == "\t" }
        }
    }
}
