internal import CXDP
import Glibc
import Machine

/// The loaded XDP program with its maps, and whether it is attached. Control plane only.
struct XDPProgram: ~Copyable {
    let maps: spillway_xdp_program
    let takesFragments: Bool
    let queues: UInt32
    private let interface: UInt32
    private(set) var attachedInDriver: Bool?

    /// Loads the program for an interface.
    init(interface: UInt32, queues: UInt32, fragments: Bool) throws(SystemError) {
        let object = Self.object()
        var maps = spillway_xdp_program()
        let status = unsafe object.withUnsafeBytes { bytes in
            unsafe spillway_xdp_load(bytes.baseAddress, bytes.count, fragments, queues, &maps)
        }
        if status != 0 { throw SystemError("bpf", "loading the XDP program", code: status) }
        (self.maps, takesFragments, self.queues, self.interface) = (maps, fragments, queues, interface)
        attachedInDriver = nil
    }

    deinit {
        if let inDriver = attachedInDriver { _ = spillway_xdp_detach(Int32(interface), maps.program, inDriver) }
        var maps = maps
        unsafe spillway_xdp_unload(&maps)
    }

    /// Attaches it, in the driver or in front of the stack.
    mutating func attach(inDriver: Bool) throws(SystemError) {
        let status = spillway_xdp_attach(Int32(interface), maps.program, inDriver)
        if status != 0 { throw SystemError("bpf", "attaching the XDP program", code: status) }
        attachedInDriver = inDriver
    }

    /// Detaches it, if it still is.
    mutating func detach() {
        guard let inDriver = attachedInDriver else { return }
        _ = spillway_xdp_detach(Int32(interface), maps.program, inDriver)
        attachedInDriver = nil
    }

    /// Lets packets of a queue in.
    func setSocket(_ socket: Int32, queue: UInt32) throws(SystemError) {
        let status = spillway_xdp_set_socket(maps.sockets, queue, socket)
        if status != 0 { throw SystemError("bpf", "entering the socket of queue \(queue)", code: status) }
    }

    /// Tells the program the interface's own station address.
    func setStation(_ station: spillway_station) throws(SystemError) {
        var value = station
        let status = unsafe spillway_xdp_set_station(maps.station, &value)
        if status != 0 { throw SystemError("bpf", "entering the station address", code: status) }
    }

    /// The object file the build embedded.
    private static func object() -> [UInt8] {
        let digits = spillwayObject
        func value(_ digit: UInt8) -> UInt8 { digit >= 0x61 ? digit - 0x61 + 10 : digit - 0x30 }
        return (0..<digits.utf8CodeUnitCount / 2).map { place in
            unsafe value(digits.utf8Start[2 * place]) << 4 | value(digits.utf8Start[2 * place + 1])
        }
    }
}
