internal import CXDP
internal import Glibc
internal import Machine

/// An Ethernet interface of this network namespace that frames are sent out of.
struct OutgoingInterface {
    let name: String
    let index: Int32
    /// The longest frame it takes, with the Ethernet header and without tags.
    let frameLimit: Int

    init(_ name: String) throws(TransmitError) {
        self.name = name
        index = Int32(bitPattern: unsafe if_nametoindex(name))
        guard index > 0 else { throw .noSuchInterface(name) }
        let socket = spillway_xdp_control_socket()
        guard socket >= 0 else { throw .refused(name, .packetSocket, SystemError("socket")) }
        defer { close(socket) }
        var station = spillway_station()
        // ARPHRD_ETHER and ARPHRD_LOOPBACK (linux/if_arp.h): both begin with an Ethernet header.
        let hardware = unsafe spillway_xdp_station(socket, index, &station)
        guard hardware == 1 || hardware == 772 else { throw .notEthernet(name) }
        guard spillway_xdp_flags(socket, index) & 1 /* IFF_UP */ == 1 else { throw .isDown(name) }
        frameLimit = max(Int(spillway_xdp_mtu(socket, index)), 0) + 14
    }

    /// Opens a queue by the best way there is, or by the one that is asked for.
    func queue(_ mode: TransmitMode?) throws(TransmitError) -> TransmitQueue {
        // A frame of AF_XDP is one page at most; longer packets need a packet socket.
        let fits = frameLimit + 8 <= TransmitQueue.frameBytes
        let modes = mode.map { [$0] } ?? (fits ? TransmitMode.allCases : [.packetSocket])
        spillway_xdp_lift_memory_limit()
        var last = TransmitError.noSuchInterface(name)
        for mode in modes {
            do throws(SystemError) {
                return try TransmitQueue(interface: index, mode: mode)
            } catch {
                if error.code == EPERM || error.code == EACCES { throw .notPermitted(name) }
                last = .refused(name, mode, error)
            }
        }
        throw last
    }

    /// Whether the interface takes a frame of this length: its MTU counts what is behind the header and one tag.
    @_noLocks static func takes(_ bytes: UnsafeRawPointer, count: Int, limit: Int) -> Bool {
        if count <= limit { return count <= TransmitQueue.frameBytes }
        guard count <= limit &+ 4, count <= TransmitQueue.frameBytes else { return false }
        let type = unsafe (bytes + 12).loadUnaligned(as: UInt16.self)
        // 0x8100 and 0x88a8 in network order.
        return type == 0x0081 || type == 0xa888
    }
}
