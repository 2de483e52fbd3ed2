import Glibc
import Pcapng
import TestSupport

/// A page of memory with a page behind it that cannot be touched: a read beyond the bytes put at its end
/// kills the test.
///
/// SAFETY: the memory belongs to the object and is not handed out.
@safe final class GuardedPage {
    private let start: UnsafeMutableRawPointer
    private let room: Int

    init(pages: Int = 1) {
        room = pages * 4096
        unsafe start = mmap(nil, room + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        unsafe precondition(start != MAP_FAILED)
        unsafe precondition(mprotect(start + room, 4096, PROT_NONE) == 0)
    }

    deinit { unsafe munmap(start, room + 4096) }

    /// Reads the headers of `bytes`, which lie so that the byte after the last one cannot be read; then those
    /// of a packet quoted in them.
    func headers(of bytes: some Collection<UInt8>, linkType: UInt16) -> (
        outer: PacketHeaders, quoted: PacketHeaders
    ) {
        let first = unsafe start + room - bytes.count
        unsafe UnsafeMutableRawBufferPointer(start: first, count: bytes.count).copyBytes(from: bytes)
        let outer = unsafe PacketHeaders(first, captured: bytes.count, linkType: linkType)
        return (outer, unsafe outer.quoted(first, captured: bytes.count))
    }
}

/// Reads the headers of a whole packet.
func headers(of bytes: [UInt8], linkType: UInt16 = 1) -> PacketHeaders {
    GuardedPage(pages: 20).headers(of: bytes, linkType: linkType).outer
}

/// What the tests compare: the headers in the form in which tshark or the test's author writes them.
struct HeaderFacts: Equatable, CustomStringConvertible {
    var version: UInt8 = 0
    var source = ""
    var destination = ""
    var protocolNumber: UInt8 = 0
    var sourcePort: UInt16?
    var destinationPort: UInt16?
    var fragmentOffset: UInt16 = 0
    var moreFragments = false

    var description: String {
        "IPv\(version) \(source) > \(destination) protocol \(protocolNumber)"
            + " ports \(sourcePort ?? 0) > \(destinationPort ?? 0) fragment \(fragmentOffset)\(moreFragments ? "+" : "")"
    }

    init() {}

    /// The facts in what was read; none at all for a packet without IP.
    init(_ headers: PacketHeaders) {
        version = headers.version
        if version == 0 { return }
        source = text(headers.sourceHigh, headers.sourceLow, version: version)
        destination = text(headers.destinationHigh, headers.destinationLow, version: version)
        protocolNumber = headers.protocolNumber
        sourcePort = headers.hasPorts ? headers.sourcePort : nil
        destinationPort = headers.hasPorts ? headers.destinationPort : nil
        fragmentOffset = headers.fragmentOffset
        moreFragments = headers.moreFragments
    }

    /// The facts as a test writes them down.
    init(
        _ version: UInt8, _ source: String, _ destination: String, protocolNumber: UInt8,
        ports: (UInt16, UInt16)? = nil, fragment: UInt16 = 0, more: Bool = false
    ) {
        (self.version, self.source, self.destination) = (version, source, destination)
        self.protocolNumber = protocolNumber
        sourcePort = ports?.0
        destinationPort = ports?.1
        fragmentOffset = fragment
        moreFragments = more
    }
}

/// An address as inet_ntop(3) writes it.
private func text(_ high: UInt64, _ low: UInt64, version: UInt8) -> String {
    var words = (high, low)
    var buffer = [CChar](repeating: 0, count: 64)
    _ = unsafe withUnsafeBytes(of: &words) {
        unsafe inet_ntop(
            version == 4 ? AF_INET : AF_INET6, $0.baseAddress! + (version == 4 ? 12 : 0), &buffer,
            socklen_t(64))
    }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
