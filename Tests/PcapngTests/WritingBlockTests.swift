import Pcapng
import TestSupport
import Testing

@Suite("The blocks around records")
struct WritingBlockTests {
    /// What the builder of the tests makes of one more block.
    private func reference(_ body: (inout PcapngBuilder) -> Void) -> [UInt8] {
        var file = PcapngBuilder()
        file.section(.little)
        let start = file.built("").bytes.count
        body(&file)
        return Array(file.built("").bytes[start...])
    }

    @Test("Section headers of every combination of options")
    func sectionHeader() {
        for (hardware, system) in [(nil, nil), ("cpu", nil), (nil, "Linux"), ("x", "ab")] as [(String?, String?)] {
            var options: [PcapngBuilder.Option] = []
            if let hardware { options.append(.text(2, hardware)) }
            if let system { options.append(.text(3, system)) }
            options.append(.text(4, "spillway 1"))
            var file = PcapngBuilder()
            file.section(.little, options)
            let bytes = StreamBlocks.sectionHeader(hardware: hardware, system: system, application: "spillway 1")
            #expect(bytes == file.built("").bytes)
        }
    }

    @Test("Interface descriptions with nothing, everything and texts of every length")
    func interfaces() {
        func check(_ label: InterfaceLabel, _ options: [PcapngBuilder.Option]) {
            let expected = reference { $0.interface(linkType: label.linkType, snapLength: 262_144, options) }
            #expect(StreamBlocks.interface(label) == expected)
        }
        let resolution = PcapngBuilder.Option.bytes(9, [9])
        check(InterfaceLabel(linkType: 228), [resolution])
        for count in 1...9 {
            let name = String(repeating: "e", count: count)
            check(InterfaceLabel(linkType: 1, name: name), [.text(2, name), resolution])
        }
        var label = InterfaceLabel(linkType: 113, name: "any")
        (label.summary, label.filter, label.system) = ("the lot", "tcp port 80", "Linux 6")
        (label.fcsLength, label.hardware) = (4, "a card")
        check(
            label,
            [
                .text(2, "any"), .text(3, "the lot"), resolution, .bytes(11, [0] + Array("tcp port 80".utf8)),
                .text(12, "Linux 6"), .bytes(13, [4]), .text(15, "a card"),
            ])
        // Empty texts say nothing.
        label = InterfaceLabel(linkType: 1, name: "")
        (label.filter, label.summary) = ("", "")
        check(label, [resolution])
        // What the length field cannot say is cut.
        let long = String(repeating: "x", count: 70_000)
        check(InterfaceLabel(linkType: 1, name: long), [.text(2, String(long.prefix(65_532))), resolution])
    }

    @Test("Lane blocks")
    func lanes() {
        let run = RunIdentity(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908)
        for name in ["", "a", "abcd", "collector", String(repeating: "n", count: 64)] {
            var body = ByteWriter(.little)
            for half in [1, 7, 1, UInt16(name.utf8.count)] { body.number(half) }
            body.raw((0..<16).map { UInt8($0) })
            body.padded(Array(name.utf8))
            let expected = reference { $0.other(0x8053_504C, body.bytes) }
            #expect(StreamBlocks.lane(7, kind: .diverted, run: run, destination: name) == expected)
        }
        let live = StreamBlocks.lane(0, kind: .live, run: run, destination: "")
        #expect(Array(live[8..<16]) == [1, 0, 0, 0, 0, 0, 0, 0])
        // A longer name cannot be.
        let cut = StreamBlocks.lane(0, kind: .live, run: run, destination: String(repeating: "n", count: 80))
        #expect(cut == StreamBlocks.lane(0, kind: .live, run: run, destination: String(repeating: "n", count: 64)))
    }

    @Test("Interface statistics")
    func statistics() {
        func stamp(_ time: UInt64) -> [UInt8] {
            var writer = ByteWriter(.little)
            writer.number(UInt32(time >> 32))
            writer.number(UInt32(truncatingIfNeeded: time))
            return writer.bytes
        }
        let (time, start): (UInt64, UInt64) = (0x1122_3344_5566_7788, 0x1122_3344_0000_0001)
        var counts = StreamBlocks.Statistics()
        (counts.received, counts.dropped, counts.accepted) = (1 << 40, 2, 3)
        (counts.systemDropped, counts.delivered) = (4, .max)
        var body = ByteWriter(.little)
        body.number(UInt32(9))
        body.raw(stamp(time))
        let expected = reference {
            $0.other(
                5, body.bytes,
                options: [
                    .bytes(2, stamp(start)), .bytes(3, stamp(time)), .number(4, UInt64(1) << 40), .number(5, UInt64(2)),
                    .number(6, UInt64(3)), .number(7, UInt64(4)), .number(8, UInt64.max),
                ])
        }
        #expect(StreamBlocks.statistics(interface: 9, time: time, start: start, counts) == expected)
    }

    // ---- classic -------------------------------------------------------------------------------------------------

    /// A record in the classic form by the code under test.
    private func classic(_ packet: SamplePacket, nanoseconds: Bool) -> [UInt8] {
        var record = [UInt8](repeating: 0, count: packet.bytes.count + 40)
        var target = [UInt8](repeating: 0xEE, count: 16 + 65535 + 8)
        let count = unsafe record.withUnsafeMutableBytes { record in
            _ = unsafe packet.bytes.withUnsafeBytes { source in
                unsafe Record.write(
                    to: record.baseAddress!, time: packet.time, interface: 3,
                    bytes: source.baseAddress ?? UnsafeRawPointer(record.baseAddress!),
                    captured: UInt32(packet.bytes.count), original: packet.original)
            }
            return unsafe target.withUnsafeMutableBytes {
                unsafe ClassicPcap.write(
                    RecordView(record.baseAddress!), nanoseconds: nanoseconds, to: $0.baseAddress!)
            }
        }
        #expect(target[count...].allSatisfy { $0 == 0xEE })
        return Array(target[..<count])
    }

    @Test("Classic records of every length, microseconds cut and not rounded", arguments: [false, true])
    func classicRecords(nanoseconds: Bool) {
        for count in Array(0...70) + [65_534, 65_535, 65_536, 262_144] {
            for fraction: UInt64 in [0, 999, 1000, 999_999_999] {
                let bytes = sampleBytes(count, seed: count)
                var file = ClassicBuilder(nanoseconds ? .nanoseconds : .microseconds, snapLength: 65535)
                let header = file.built("").bytes
                #expect(ClassicPcap.header(nanoseconds ? .nanoseconds : .microseconds, linkType: 1) == header)
                file.packet(
                    seconds: 4_000_000_000, fraction: UInt32(nanoseconds ? fraction : fraction / 1000),
                    Array(bytes.prefix(65_535)), original: UInt32(count) + 1)
                let packet = SamplePacket(
                    time: 4_000_000_000_000_000_000 + fraction, original: UInt32(count) + 1, interface: 0,
                    bytes: bytes)
                #expect(classic(packet, nanoseconds: nanoseconds) == Array(file.built("").bytes[24...]))
            }
        }
    }
}
