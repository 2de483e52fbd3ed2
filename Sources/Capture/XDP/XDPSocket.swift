internal import CXDP
import Glibc
import Machine
import Synchronization

/// Opening an AF_XDP socket (Documentation/networking/af_xdp.rst).
enum XDPSocket {
    /// What there is after the bind.
    struct Opened {
        var socket: Int32
        var fill: XDPRing
        var receive: XDPRing
        /// Frames the kernel has.
        var filled: UInt32
        var isZeroCopy: Bool
        var takesFragments: Bool
    }

    /// Opens a socket on a queue: registers memory, maps the rings, fills the fill ring, binds.
    static func open(
        _ interface: UInt32, _ queue: UInt32, memory: MemoryRegion, frameBytes: Int, sizes: XDPSizes,
        attempts: [(zeroCopy: Bool, fragments: Bool)]
    ) throws(SystemError) -> Opened {
        let socket = spillway_xdp_socket()
        if socket < 0 { throw SystemError("socket", "AF_XDP") }
        var rings: [XDPRing] = []
        do throws(SystemError) {
            let count = sizes.memoryBytes / frameBytes
            let receiveCount = sizes.receiveEntries ?? count
            let wanted = spillway_xdp_rings(
                fill: UInt32(count), completion: 64, receive: UInt32(receiveCount), transmit: 0)
            let status = unsafe spillway_xdp_set_up(
                socket, memory.base, UInt64(sizes.memoryBytes), UInt32(frameBytes), wanted)
            if status != 0 { throw SystemError("setsockopt", "XDP_UMEM_REG", code: status) }
            rings.append(try XDPRing(socket: socket, .fill, count: count))
            rings.append(try XDPRing(socket: socket, .receive, count: receiveCount))
            // Some drivers take an empty fill ring at the bind for a reason to stop for good.
            let filled = min(sizes.filledFrames ?? count, count)
            for frame in 0..<filled {
                let address = frame * frameBytes + (frame < sizes.invalidFrames ? sizes.memoryBytes : 0)
                unsafe (rings[0].entries + frame * 8).storeBytes(of: UInt64(address), as: UInt64.self)
            }
            unsafe rings[0].producer.pointee.store(UInt32(filled), ordering: .releasing)
            let takesFragments = try bind(socket, interface, queue, attempts)
            return Opened(
                socket: socket, fill: rings[0], receive: rings[1], filled: UInt32(filled),
                isZeroCopy: spillway_xdp_is_zero_copy(socket) == 1, takesFragments: takesFragments)
        } catch {
            for ring in rings { ring.unmap() }
            close(socket)
            throw error
        }
    }

    /// Binds by the first attempt that the kernel grants; tells whether that one was for several buffers.
    private static func bind(
        _ socket: Int32, _ interface: UInt32, _ queue: UInt32, _ attempts: [(zeroCopy: Bool, fragments: Bool)]
    ) throws(SystemError) -> Bool {
        var status: Int32 = 0
        for attempt in attempts {
            // A queue is busy for up to a second after its last socket was closed.
            for turn in 0..<100 {
                if turn > 0 { Clock.sleep(nanoseconds: 20_000_000) }
                status = spillway_xdp_bind(socket, Int32(interface), queue, attempt.zeroCopy, attempt.fragments)
                if status == 0 { return attempt.fragments }
                if status != EBUSY { break }
            }
        }
        throw SystemError("bind", "queue \(queue)", code: status)
    }
}
