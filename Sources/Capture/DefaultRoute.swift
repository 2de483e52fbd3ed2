import Glibc

/// Whether an interface carries a default route: then people reach this machine through it.
public enum DefaultRoute {
    /// Looks into the routing tables of the calling thread's network namespace (/proc/net, proc(5)).
    public static func isCarried(by interface: String) -> Bool {
        let name = PcapInterface.identity(interface)?.0 ?? interface
        // Interface, destination, gateway, flags, three counts, mask: both zero is a default route.
        let ipv4 = lines("/proc/thread-self/net/route").contains {
            $0.count > 7 && $0[0] == name && $0[1] == "00000000" && $0[7] == "00000000"
        }
        // Destination, its prefix length, ..., flags, interface. 0x200 is RTF_REJECT: a route to nowhere.
        let ipv6 = lines("/proc/thread-self/net/ipv6_route").contains {
            $0.count == 10 && $0[9] == name && $0[0].allSatisfy { $0 == "0" } && $0[1] == "00"
                && UInt32($0[8], radix: 16).map { $0 & 0x200 == 0 } == true
        }
        return ipv4 || ipv6
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
