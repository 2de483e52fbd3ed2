public import CPcap
public import Pcapng

/// A filter expression that cannot be compiled: what and why, in libpcap's words.
public struct PacketFilterError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The expression (pcap-filter(7)).
    public let expression: String
    /// libpcap's explanation.
    public let reason: String

    /// Both, in one line.
    public var description: String { "filter \"\(expression)\": \(reason)" }
}

/// A filter in libpcap's language (pcap-filter(7)), compiled for packets of one link type.
///
/// SAFETY: the program is checked once, never changes, and lives as long as the process; workers share it.
@safe public struct PacketFilter: BitwiseCopyable, @unchecked Sendable {
    @usableFromInline let program: UnsafePointer<bpf_insn>

    /// Compiles an expression. Names in it may be looked up, so it can wait for name servers.
    ///
    /// - Parameters:
    ///   - linkType: what the packets begin with.
    ///   - snapLength: bytes a packet has at most.
    ///   - isOptimized: whether libpcap makes the program fast, which takes it long where the expression is.
    /// - Throws: what libpcap finds wrong with the expression, or that it cannot filter this link type.
    public init(
        _ expression: String, linkType: LinkType, snapLength: Int = 262_144, isOptimized: Bool = true
    ) throws(PacketFilterError) {
        func problem(_ reason: String) -> PacketFilterError {
            PacketFilterError(expression: expression, reason: reason)
        }
        // libpcap takes a C string: what stands behind a NUL would be left out without a word.
        if expression.utf8.contains(0) { throw problem("a NUL character") }
        guard let handle = unsafe pcap_open_dead(DataLink.number(of: linkType), Int32(snapLength)) else {
            throw problem("out of memory")
        }
        defer { unsafe pcap_close(handle) }
        var code = unsafe bpf_program()
        // The netmask, which only `ip broadcast` asks for, is unknown: nobody knows where a packet was
        // captured.
        guard unsafe pcap_compile(handle, &code, expression, isOptimized ? 1 : 0, bpf_u_int32.max) == 0 else {
            throw problem(unsafe String(cString: pcap_geterr(handle)))
        }
        defer { unsafe pcap_freecode(&code) }
        guard unsafe bpf_validate(code.bf_insns, Int32(code.bf_len)) != 0 else {
            throw problem("libpcap made a program that is not sound")
        }
        let count = Int(unsafe code.bf_len)
        let copy = UnsafeMutablePointer<bpf_insn>.allocate(capacity: count)
        unsafe copy.initialize(from: code.bf_insns, count: count)
        unsafe program = UnsafePointer(copy)
    }

    /// Whether a packet passes.
    ///
    /// - Parameters:
    ///   - captured: bytes at `bytes`; the filter never looks beyond them.
    ///   - original: the packet's length on the wire, which `len` in an expression means.
    @_noLocks @inlinable @inline(__always)
    public func matches(_ bytes: UnsafeRawPointer, captured: UInt32, original: UInt32) -> Bool {
        unsafe spillway_bpf_filter(program, bytes.assumingMemoryBound(to: UInt8.self), original, captured)
            != 0
    }
}

/// libpcap's own numbers for link types: those of the registry, with a few exceptions (pcap-linktype(7)).
enum DataLink {
    /// DLT_ value of a link type on Linux.
    static func number(of linkType: LinkType) -> Int32 {
        switch linkType.value {
        case 100: 11
        case 101: 12
        case 106: 19
        default: Int32(linkType.value)
        }
    }

    /// The link type of a DLT_ value on Linux.
    static func linkType(of number: Int32) -> LinkType {
        switch number {
        case 11: LinkType(100)
        case 12: .rawIP
        case 19: LinkType(106)
        default: LinkType(UInt16(truncatingIfNeeded: number))
        }
    }
}
