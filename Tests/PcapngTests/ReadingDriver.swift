import Pcapng
import TestSupport
import Testing

/// What a parser made of an input.
struct ReadingOutcome: Equatable {
    var packets: [SamplePacket] = []
    var interfaces: [InterfaceDescription] = []
    var cut: UInt64 = 0
    /// nil when the input ended well.
    var damage: CaptureFileDamage?
}

/// Feeds `input` to a parser, whose window grows by `portion` bytes whenever it asks for more.
///
/// The window is copied to memory of exactly its size for every step, so that the address sanitizer sees a read beyond
/// it. Progress and the parser's own limits are checked at each step.
func parse(_ input: [UInt8], portion: Int = .max) throws -> ReadingOutcome {
    var outcome = ReadingOutcome()
    var parser = CaptureFileParser()
    var start = 0
    var end = min(portion, input.count)
    while true {
        let atEnd = end == input.count && (portion == .max || parser.needed > end - start || start == end)
        let window = Array(input[start..<end])
        let before = parser.position
        let event = unsafe window.withUnsafeBytes { bytes in
            let event = unsafe parser.step(bytes, atEnd: atEnd)
            if case .interface = event { outcome.interfaces.append(unsafe parser.takeInterface(bytes)) }
            return event
        }
        try #require(parser.consumed <= window.count)
        try #require(parser.position == before + UInt64(parser.consumed))
        start += parser.consumed
        switch event {
        case .packet:
            let packet = parser.packet
            let dataEnd = packet.dataOffset + Int(packet.captured)
            try #require(packet.dataOffset >= 0 && dataEnd <= parser.consumed && packet.captured <= 262_144)
            outcome.packets.append(
                SamplePacket(
                    time: packet.time, original: packet.original, interface: packet.interface,
                    bytes: Array(window[packet.dataOffset..<dataEnd])))
            try #require(parser.consumed > 0)
        case .interface, .skipped:
            try #require(parser.consumed > 0)
        case .needMore:
            try #require(!atEnd && parser.consumed == 0)
            try #require(parser.needed > window.count && parser.needed <= CaptureFileParser.windowBytesMax)
            end = min(input.count, portion == .max ? input.count : end + portion)
        case .damaged, .end:
            try #require(parser.consumed == 0)
            outcome.cut = parser.cut
            outcome.damage = parser.damage
            if case .damaged = event { try #require(parser.damage != nil) }
            return outcome
        }
        try #require(parser.interfacesTotal == UInt32(outcome.interfaces.count))
    }
}
