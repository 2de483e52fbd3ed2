internal import CXDP
import Glibc
package import Machine

/// The loaded XDP program with its maps, and whether it is attached. Control plane only.
package struct XDPProgram: ~Copyable {
    let maps: spillway_xdp_program
    let takesFragments: Bool
    let queues: UInt32
    /// Whether it asks the card for its stamps.
    let asksCard: Bool
    private let interface: UInt32
    private(set) var attachedInDriver: Bool?
    private var link: Int32 = -1
    /// What `isCutOff` was when it was detached: the threads of other queues have still to learn it.
    private var wasCutOff = false

    /// Loads the program for an interface.
    ///
    /// - Parameters:
    ///   - filter: what is captured; nil for everything.
    ///   - asksCard: whether the card's driver is asked for the stamps of packets.
    package init(
        interface: UInt32, queues: UInt32, fragments: Bool, filter: SelectiveFilter? = nil, asksCard: Bool = false
    ) throws(SystemError) {
        let object = Self.object(asksCard ? clockedObject : spillwayObject)
        var maps = spillway_xdp_program()
        let status = unsafe object.withUnsafeBytes { bytes in
            var request = unsafe spillway_xdp_request()
            unsafe (request.bytes, request.length) = (bytes.baseAddress, bytes.count)
            unsafe (request.with_fragments, request.queues) = (fragments, queues)
            unsafe request.card_interface = asksCard ? Int32(interface) : 0
            if let filter {
                unsafe request.filter = filter.constants
                unsafe (request.prefixes4, request.prefixes6) = filter.prefixCounts
            }
            return unsafe spillway_xdp_load(&request, &maps)
        }
        if status != 0 { throw SystemError("bpf", "loading the XDP program", code: status) }
        do throws(SystemError) {
            try filter?.enter(into: maps)
        } catch {
            unsafe spillway_xdp_unload(&maps)
            throw error
        }
        (self.maps, takesFragments, self.queues, self.interface) = (maps, fragments, queues, interface)
        self.asksCard = asksCard
        attachedInDriver = nil
    }

    deinit {
        if link >= 0 { spillway_xdp_detach(link) }
        var maps = maps
        unsafe spillway_xdp_unload(&maps)
    }

    /// Attaches it, in the driver or in front of the stack. However the process ends, nothing of it stays.
    mutating func attach(inDriver: Bool) throws(SystemError) {
        let link = spillway_xdp_attach(Int32(interface), maps.program, inDriver)
        if link < 0 { throw SystemError("bpf", "attaching the XDP program", code: -link) }
        (self.link, attachedInDriver) = (link, inDriver)
    }

    /// Detaches it, if it still is.
    mutating func detach() {
        wasCutOff = isCutOff
        if link >= 0 { spillway_xdp_detach(link) }
        (link, attachedInDriver) = (-1, nil)
    }

    /// Whether somebody else has detached it, or its interface is gone.
    var isCutOff: Bool { wasCutOff || link >= 0 && !spillway_xdp_is_attached(link) }

    /// Whether redirects that failed are counted at the kernel's tracepoint.
    var seesErrors: Bool { maps.errors >= 0 }

    /// What the program would do with a frame that nobody sent: XDP_REDIRECT (4) or XDP_PASS (2).
    package func judge(_ frame: [UInt8]) throws(SystemError) -> UInt32 {
        var verdict: UInt32 = 0
        let status = unsafe frame.withUnsafeBytes { frame in
            unsafe spillway_xdp_judge(maps.program, frame.baseAddress, UInt32(frame.count), &verdict)
        }
        if status != 0 { throw SystemError("bpf", "running the XDP program", code: status) }
        return verdict
    }

    /// Lets packets of a queue in.
    package func setSocket(_ socket: Int32, queue: UInt32) throws(SystemError) {
        let status = spillway_xdp_set_socket(maps.sockets, queue, socket)
        if status != 0 { throw SystemError("bpf", "entering the socket of queue \(queue)", code: status) }
    }

    /// Tells the program the interface's own station address.
    func setStation(_ station: spillway_station) throws(SystemError) {
        var value = station
        value.sockets = spillway_xdp_map_number(maps.sockets)
        value.tai_offset = UInt32(clamping: spillway_xdp_tai_offset() / 1_000_000_000)
        let status = unsafe spillway_xdp_set_station(maps.station, &value)
        if status != 0 { throw SystemError("bpf", "entering the station address", code: status) }
    }

    /// An object file that the build embedded.
    private static func object(_ digits: StaticString) -> [UInt8] {
        func value(_ digit: UInt8) -> UInt8 { digit >= 0x61 ? digit - 0x61 + 10 : digit - 0x30 }
        return (0..<digits.utf8CodeUnitCount / 2).map { place in
            unsafe value(digits.utf8Start[2 * place]) << 4 | value(digits.utf8Start[2 * place + 1])
        }
    }
}
