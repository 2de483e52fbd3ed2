import Pcapng

/// How large the windows are that the parser gets to see.
enum WindowSizes {
    /// All at once.
    case whole
    /// Each grows by a random number of bytes, chosen by the seed.
    case random(UInt64)
}

/// What was found in a file, boiled down to what two readings are compared by.
struct Findings: Equatable {
    var packets = 0
    var bytes = 0
    /// Over the headers and bytes of all packets, in their order.
    var digest: UInt64 = 0xcbf2_9ce4_8422_2325
    var interfaces: [InterfaceDescription] = []
    var damage: CaptureFileDamage?

    /// FNV-1a, eight bytes at a time.
    mutating func mix(_ value: UInt64) { digest = (digest ^ value) &* 0x100_0000_01b3 }
}

/// Reads a file to its end or damage and checks what must hold at every step.
func read(_ file: UnsafeRawBufferPointer, sizes: WindowSizes) -> Findings {
    var findings = Findings()
    var parser = CaptureFileParser()
    var (start, end, state) = (0, 0, UInt64(0))
    switch sizes {
    case .whole: end = file.count
    case .random(let seed): state = seed &+ 1
    }
    var isAtEnd = end == file.count
    while true {
        // Memory of exactly the window's size lets the address sanitizer see a read beyond it.
        let window = UnsafeMutableRawBufferPointer.allocate(byteCount: end - start, alignment: 1)
        defer { unsafe window.deallocate() }
        unsafe window.copyBytes(from: file[start..<end])
        let event = unsafe parser.step(UnsafeRawBufferPointer(window), atEnd: isAtEnd)
        precondition(parser.consumed >= 0 && parser.consumed <= window.count)
        start += parser.consumed
        precondition(parser.position == UInt64(start))
        switch event {
        case .packet: unsafe add(parser.packet, UnsafeRawBufferPointer(window), to: &findings)
        case .interface:
            findings.interfaces.append(unsafe parser.takeInterface(UnsafeRawBufferPointer(window)))
        case .skipped: break
        case .needMore:
            precondition(!isAtEnd && parser.consumed == 0)
            precondition(parser.needed > window.count && parser.needed <= CaptureFileParser.windowBytesMax)
            isAtEnd = end == file.count
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            end = min(file.count, end + Int((state >> 33) % 61) + 1)
            continue
        case .damaged, .end:
            findings.damage = parser.damage
            precondition(findings.bytes <= file.count)
            return findings
        }
        precondition(parser.consumed > 0)
    }
}

private func add(_ packet: PacketHeader, _ window: UnsafeRawBufferPointer, to findings: inout Findings) {
    let end = packet.dataOffset + Int(packet.captured)
    precondition(packet.dataOffset > 0 && end <= window.count)
    precondition(packet.captured <= CaptureFileParser.capturedBytesMax)
    findings.packets += 1
    findings.bytes += Int(packet.captured)
    for value in [packet.time, UInt64(packet.captured), UInt64(packet.original), UInt64(packet.interface)] {
        findings.mix(value)
    }
    for offset in packet.dataOffset..<end { findings.mix(UInt64(unsafe window[offset])) }
}
