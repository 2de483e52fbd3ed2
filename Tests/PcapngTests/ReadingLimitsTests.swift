import Pcapng
import TestSupport
import Testing

@Suite("Limits of reading capture files")
struct ReadingLimitsTests {
    private let limit = Int(CaptureFileParser.capturedBytesMax)

    @Test("pcapng packets above the limit are delivered cut and counted", arguments: ByteOrder.allCases)
    func cutPackets(_ order: ByteOrder) throws {
        var file = PcapngBuilder()
        file.section(order)
        file.interface(snapLength: 0, resolution: 9)
        file.enhanced(0, units: 1, sampleBytes(limit, seed: 1))
        file.enhanced(0, units: 2, sampleBytes(limit + 1, seed: 2), original: 400_000, cutTo: limit)
        // Blocks larger than the largest window, one exactly as large, and one just above it.
        file.enhanced(0, units: 3, sampleBytes(600_000, seed: 3), cutTo: limit)
        file.enhanced(0, units: 4, sampleBytes(CaptureFileParser.windowBytesMax - 32, seed: 4), cutTo: limit)
        file.enhanced(0, units: 5, sampleBytes(CaptureFileParser.windowBytesMax - 31, seed: 5), cutTo: limit)
        file.simple(sampleBytes(700_000, seed: 6), cutTo: limit)
        file.simple(sampleBytes(limit, seed: 7))
        file.enhanced(0, units: 8, sampleBytes(20, seed: 8))
        let built = file.built("")
        let outcome = try parse(built.bytes, portion: 300_007)
        #expect(outcome.packets == built.packets)
        #expect(outcome.cut == 5)
        #expect(outcome.damage == nil)
        #expect(try parse(built.bytes) == outcome)
    }

    @Test("Blocks and options of any length are skipped", arguments: ByteOrder.allCases)
    func largeBlocks(_ order: ByteOrder) throws {
        let text = PcapngBuilder.Option.bytes(1, sampleBytes(65_000, seed: 1))
        let manyOptions = [PcapngBuilder.Option](repeating: text, count: 10)
        var file = PcapngBuilder()
        file.section(order, manyOptions)
        file.interface(resolution: 9, [PcapngBuilder.Option](repeating: text, count: 8))
        file.other(99, sampleBytes(1_000_000, seed: 2))
        file.enhanced(0, units: 1, sampleBytes(20, seed: 3), manyOptions)
        file.enhanced(0, units: 2, sampleBytes(21, seed: 4))
        file.section(order == .little ? .big : .little, manyOptions)
        file.interface()
        file.enhanced(0, units: 3, sampleBytes(22, seed: 5))
        let built = file.built("")
        let outcome = try parse(built.bytes, portion: 300_007)
        #expect(outcome.packets == built.packets)
        #expect(outcome.damage == nil)
        #expect(outcome.cut == 0)
        #expect(try parse(built.bytes) == outcome)
    }

    @Test("A classic record of the greatest length is read")
    func largestRecord() throws {
        for magic in ClassicBuilder.Magic.allCases {
            var file = ClassicBuilder(magic)
            file.packet(seconds: 1, fraction: 2, sampleBytes(limit, seed: 1))
            let built = file.built("")
            #expect(try parse(built.bytes, portion: 100_003).packets == built.packets)
        }
    }

    @Test("A section may have 65536 interfaces and no more; the next section starts anew")
    func interfaceCount() throws {
        var file = PcapngBuilder()
        file.section(.little)
        file.interface()
        let start = file.built("")
        let block = start.bytes.suffix(from: start.boundaries[1])
        let section = start.bytes.prefix(start.boundaries[1])
        let full = section + [ArraySlice<UInt8>](repeating: block, count: 65_536).joined()
        let sound = try parseCounting(Array(full + section + block))
        #expect(sound.interfaces == 65_537)
        #expect(sound.damage == nil)
        let tooMany = try parseCounting(Array(full + block))
        #expect(tooMany.interfaces == 65_536)
        #expect(tooMany.damage?.reason == .tooManyInterfaces)
        #expect(tooMany.damage?.offset == UInt64(full.count))
    }

    /// Like `parse`, without copies of the window, for large inputs without packets.
    private func parseCounting(_ input: [UInt8]) throws -> (interfaces: UInt32, damage: CaptureFileDamage?) {
        var parser = CaptureFileParser()
        return try unsafe input.withUnsafeBytes { bytes in
            var start = 0
            while true {
                let window = unsafe UnsafeRawBufferPointer(rebasing: bytes[start...])
                switch unsafe parser.step(window, atEnd: true) {
                case .interface: _ = unsafe parser.takeInterface(window)
                case .damaged, .end: return (parser.interfacesTotal, parser.damage)
                case .packet, .skipped: break
                case .needMore: throw Unexpected()
                }
                start += parser.consumed
            }
        }
    }

    private struct Unexpected: Error {}

    @Test("An interface description larger than the window is refused")
    func largeInterface() throws {
        let text = PcapngBuilder.Option.bytes(1, sampleBytes(65_000, seed: 1))
        var file = PcapngBuilder()
        file.section(.little)
        file.interface([PcapngBuilder.Option](repeating: text, count: 9))
        let outcome = try parse(file.built("").bytes)
        #expect(outcome.damage?.reason == .interfaceBlockTooLarge)
        #expect(outcome.damage?.offset == 28)
    }

    @Test("Damage stays damage, and the end stays the end")
    func lastEvents() {
        var parser = CaptureFileParser()
        let bytes = Array("no capture".utf8)
        for _ in 0..<3 {
            let event = unsafe bytes.withUnsafeBytes { unsafe parser.step($0, atEnd: false) }
            #expect(event == .damaged)
        }
        let empty = unsafe parser.step(UnsafeRawBufferPointer(start: nil, count: 0), atEnd: true)
        #expect(empty == .damaged)
        var other = CaptureFileParser()
        let header = ClassicBuilder().built("").bytes
        _ = unsafe header.withUnsafeBytes { bytes in
            _ = unsafe other.step(bytes, atEnd: false)
            return unsafe other.takeInterface(bytes)
        }
        for _ in 0..<3 {
            let event = unsafe other.step(UnsafeRawBufferPointer(start: nil, count: 0), atEnd: true)
            #expect(event == .end)
        }
    }
}
