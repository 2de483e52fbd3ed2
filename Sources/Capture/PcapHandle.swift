internal import CPcap
import Glibc
import Machine

/// Opening and setting up a libpcap handle.
enum PcapHandle {
    /// Opens an interface with its filter so that nothing arrives yet.
    ///
    /// - Returns: the handle, and whether the kernel applies the filter.
    static func open(
        _ name: String, filter: String, ringBytes: Int, isPromiscuous: Bool
    ) throws(PcapInterfaceError) -> (handle: OpaquePointer, filtersInKernel: Bool) {
        var text = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
        guard let handle = unsafe pcap_create(name, &text) else {
            throw .cannotOpen(name, reason: Self.text(text))
        }
        do throws(PcapInterfaceError) {
            try unsafe activate(
                handle, name, ringBytes: ringBytes, isPromiscuous: isPromiscuous && name != "any")
            let filtersInKernel = try unsafe setFilter(handle, filter, name)
            try ignoreEcho(unsafe pcap_get_selectable_fd(handle), name)
            return unsafe (handle, filtersInKernel)
        } catch {
            unsafe pcap_close(handle)
            throw error
        }
    }

    private static func activate(
        _ handle: OpaquePointer, _ name: String, ringBytes: Int, isPromiscuous: Bool
    ) throws(PcapInterfaceError) {
        unsafe pcap_set_snaplen(handle, Int32(PcapInterface.snapLength))
        unsafe pcap_set_promisc(handle, isPromiscuous ? 1 : 0)
        unsafe pcap_set_timeout(handle, PcapInterface.blockTimeout)
        unsafe pcap_set_buffer_size(handle, Int32(ringBytes))
        unsafe pcap_set_tstamp_precision(handle, PCAP_TSTAMP_PRECISION_NANO)
        // libpcap starts to capture before a filter can be set. Packets that came in between would be counted
        // by the kernel and never read, so the socket waits for frames that do not exist until all is set.
        unsafe pcap_set_protocol_linux(handle, Int32(PcapInterface.noFrames))
        let status = unsafe pcap_activate(handle)
        if status < 0 { throw unsafe problem(status, handle, name) }
        guard spillway_packet_ring_version(unsafe pcap_get_selectable_fd(handle)) == 2 else {
            throw .cannotOpen(name, reason: "the kernel has no TPACKET_V3 ring")
        }
        // Version 2 of the cooked header says which interface each packet came from.
        if name == "any" { unsafe pcap_set_datalink(handle, DLT_LINUX_SLL2) }
        var text = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
        guard unsafe pcap_setnonblock(handle, 1, &text) == 0 else {
            throw .cannotOpen(name, reason: Self.text(text))
        }
    }

    /// What a status of pcap_activate(3PCAP) means.
    private static func problem(_ status: Int32, _ handle: OpaquePointer, _ name: String)
        -> PcapInterfaceError
    {
        switch status {
        case PCAP_ERROR_NO_SUCH_DEVICE: return .noSuchInterface(name)
        case PCAP_ERROR_PERM_DENIED, PCAP_ERROR_PROMISC_PERM_DENIED: return .notPermitted(name)
        case PCAP_ERROR_IFACE_NOT_UP: return .isDown(name)
        default:
            let detail = unsafe String(cString: pcap_geterr(handle))
            return .cannotOpen(
                name, reason: detail.isEmpty ? unsafe String(cString: pcap_statustostr(status)) : detail)
        }
    }

    /// What a C function has written into a buffer.
    static func text(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Has the kernel filter packets.
    ///
    /// - Returns: false if it cannot; then every packet passes.
    static func setFilter(
        _ handle: OpaquePointer, _ expression: String, _ name: String
    ) throws(PcapInterfaceError) -> Bool {
        if expression.isEmpty { return true }
        try unsafe install(handle, expression, name)
        let socket = unsafe pcap_get_selectable_fd(handle)
        if spillway_packet_filter_length(socket) > 0 { return true }
        // libpcap would now filter in this process, behind the kernel's counters.
        try unsafe install(handle, "", name)
        return false
    }

    private static func install(
        _ handle: OpaquePointer, _ expression: String, _ name: String
    ) throws(PcapInterfaceError) {
        var code = unsafe bpf_program()
        guard !expression.utf8.contains(0) else {
            throw .filter(PacketFilterError(expression: expression, reason: "a NUL character"))
        }
        guard unsafe pcap_compile(handle, &code, expression, 1, bpf_u_int32.max) == 0 else {
            throw .filter(
                PacketFilterError(expression: expression, reason: unsafe String(cString: pcap_geterr(handle)))
            )
        }
        defer { unsafe pcap_freecode(&code) }
        guard unsafe pcap_setfilter(handle, &code) == 0 else {
            throw .cannotOpen(name, reason: unsafe String(cString: pcap_geterr(handle)))
        }
    }

    /// Where an interface gives back what it sends, has the kernel leave out the first sight of it. libpcap
    /// leaves it out as well, but only after the kernel has counted it.
    static func ignoreEcho(_ socket: Int32, _ name: String) throws(PcapInterfaceError) {
        let flags = name == "any" ? Int32(IFF_LOOPBACK) : unsafe spillway_interface_flags(socket, name)
        let loopback = unsafe if_nametoindex("lo")
        let room = UnsafeMutablePointer<sock_filter>.allocate(capacity: Int(BPF_MAXINSNS))
        defer { unsafe room.deallocate() }
        // An interface that has gone meanwhile is found out at the start.
        let echoes = flags >= 0 && flags & Int32(IFF_LOOPBACK | IFF_NOARP) != 0
        guard echoes else { return }
        let code = unsafe spillway_packet_ignore_echo(socket, Int32(loopback), room)
        if code != 0 {
            throw .cannotOpen(
                name, reason: SystemError("setsockopt", "SO_ATTACH_FILTER", code: code).description)
        }
    }
}
