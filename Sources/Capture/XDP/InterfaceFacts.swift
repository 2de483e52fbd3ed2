internal import CXDP
import Glibc
import Machine

/// What has to be known of an interface before it is captured from.
struct InterfaceFacts {
    let queues: UInt32
    /// The receive queues it can be given while it is captured from (ethtool -L).
    let mostQueues: UInt32
    let mtu: Int
    let station: spillway_station
    /// The NUMA node of the card, nil where there is none to tell.
    let node: Int?

    init(_ name: String, index: Int32, socket: Int32) throws(XDPError) {
        var request = spillway_station()
        let hardware = unsafe spillway_xdp_station(socket, index, &request)
        // ARPHRD_ETHER and ARPHRD_LOOPBACK (linux/if_arp.h): both begin with an Ethernet header.
        guard hardware == 1 || hardware == 772 else { throw .notEthernet(name) }
        let flags = spillway_xdp_flags(socket, index)
        if flags >= 0, flags & 1 /* IFF_UP */ == 0 { throw .isDown(name) }
        station = request
        var most: UInt32 = 0
        queues = unsafe spillway_xdp_queues(socket, index, &most)
        mostQueues = most
        node = Self.node(name)
        mtu = max(Int(spillway_xdp_mtu(socket, index)), 0)
    }

    private static func node(_ name: String) -> Int? {
        let file = unsafe Glibc.open("/sys/class/net/\(name)/device/numa_node", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = unsafe read(file, &bytes, bytes.count)
        // -1 on a machine with one node.
        return Int(String(decoding: bytes.prefix(max(count, 0)).prefix { $0 > 32 }, as: UTF8.self))
            .flatMap { $0 >= 0 ? $0 : nil }
    }

    /// Whether the largest frame, with two VLAN tags, fits into one buffer.
    var fitsOneFrame: Bool { mtu + 14 + 8 <= frameBytes - XDPQueue.headroom }

    /// The smaller of the kernel's two chunk sizes, if the largest frame with two VLAN tags fits.
    var frameBytes: Int { mtu + 14 + 8 <= 2048 - XDPQueue.headroom ? 2048 : 4096 }
}
