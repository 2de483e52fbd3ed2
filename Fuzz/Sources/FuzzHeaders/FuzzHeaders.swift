import Capture
import Machine
import Pcapng

/// Reads the input as a packet, whole and cut, and asks the table of own connections about it. It must not
/// crash nor read outside the packet; what is found must lie inside it; a cut packet must not tell another
/// story than the whole one; and only packets with the addresses and ports of an entered connection may be
/// taken for own.
///
/// The first byte chooses the link type, the second where the packet is cut, the rest is the packet.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data = unsafe data, count >= 2 else { return 0 }
    let linkTypes: [UInt16] = [1, 0, 108, 113, 276, 101, 228, 229, 12, 14, 105]
    let linkType = unsafe linkTypes[Int(data[0]) % linkTypes.count]
    let packet = unsafe UnsafeRawBufferPointer(start: data + 2, count: count - 2)
    let whole = unsafe read(packet, linkType)
    let cut = unsafe read(UnsafeRawBufferPointer(rebasing: packet.prefix(Int(data[1]))), linkType)
    if cut.version != 0 {
        precondition(cut.version == whole.version && cut.networkOffset == whole.networkOffset)
        precondition(cut.sourceHigh == whole.sourceHigh && cut.sourceLow == whole.sourceLow)
        precondition(
            cut.destinationHigh == whole.destinationHigh && cut.destinationLow == whole.destinationLow)
    }
    if cut.hasPorts {
        precondition(whole.hasPorts && cut.protocolNumber == whole.protocolNumber)
        precondition(cut.sourcePort == whole.sourcePort && cut.destinationPort == whole.destinationPort)
    }
    return 0
}

/// Reads one packet and checks what was read.
private func read(_ packet: UnsafeRawBufferPointer, _ linkType: UInt16) -> PacketHeaders {
    // Memory of exactly the packet's size lets the address sanitizer see a read beyond it.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: packet.count, alignment: 1)
    defer { unsafe copy.deallocate() }
    unsafe copy.copyBytes(from: packet)
    let start = UnsafeRawPointer(copy.baseAddress!)
    let headers = unsafe PacketHeaders(start, captured: packet.count, linkType: linkType)
    check(headers, packet.count)
    let quoted = unsafe headers.quoted(start, captured: packet.count)
    check(quoted, packet.count)
    if quoted.version != 0 { precondition(quoted.networkOffset >= headers.transportOffset + 8) }
    let isOwn = unsafe Own.table.matches(start, captured: packet.count, linkType: linkType)
    precondition(isOwn == (Own.isOwn(headers) || Own.isOwn(quoted)), "own traffic is not what it should be")
    return headers
}

/// What holds for every packet.
private func check(_ headers: PacketHeaders, _ count: Int) {
    guard headers.version != 0 else { return }
    precondition(headers.version == 4 || headers.version == 6)
    let least: Int32 = headers.version == 4 ? 20 : 40
    precondition(headers.networkOffset >= 0 && Int(headers.networkEnd) <= count)
    precondition(headers.networkEnd >= headers.networkOffset + least)
    precondition(headers.transportOffset == 0 || headers.transportOffset >= headers.networkOffset + least)
    precondition(Int(headers.transportOffset) <= count)
    if headers.hasPorts {
        precondition(headers.fragmentOffset == 0 && headers.transportOffset != 0)
        precondition(headers.transportOffset + 4 <= headers.networkEnd)
    }
}

/// A table with a few entries whose addresses and ports the fuzzer finds easily, and the same rule told in
/// another way.
private enum Own {
    static let local = Endpoint(parsing: "1.1.1.1:257")!
    static let remote = Endpoint(parsing: "2.2.2.2:514")!
    static let listener = Endpoint(parsing: "3.3.3.3:771")!
    static let local6 = Endpoint(parsing: "[101:101:101:101:101:101:101:101]:257")!
    static let remote6 = Endpoint(parsing: "[202:202:202:202:202:202:202:202]:514")!
    static let table: OwnTraffic = {
        let table = try! OwnTraffic()
        _ = table.enter(local: local, remote: remote)
        _ = table.enter(local: local6, remote: remote6)
        _ = table.enterListener(local: listener)
        return table
    }()

    static func isOwn(_ headers: PacketHeaders) -> Bool {
        guard headers.version != 0, headers.hasPorts, headers.protocolNumber == 6 else { return false }
        let source = Endpoint(
            addressHigh: headers.sourceHigh, addressLow: headers.sourceLow, port: headers.sourcePort)
        let destination = Endpoint(
            addressHigh: headers.destinationHigh, addressLow: headers.destinationLow,
            port: headers.destinationPort)
        let pairs = [[local, remote], [remote, local], [local6, remote6], [remote6, local6]]
        return pairs.contains([source, destination]) || source == listener || destination == listener
    }
}
