import Pcapng
import TestSupport
import Testing

@Suite("Reading capture files of every kind")
struct ReadingKindsTests {
    @Test("Every kind gives the packets that were put in", arguments: CaptureKinds.all)
    func allKinds(_ file: BuiltCapture) throws {
        let outcome = try parse(file.bytes)
        #expect(outcome.packets == file.packets)
        #expect(outcome.damage == nil)
        #expect(outcome.cut == 0)
        #expect(outcome.interfaces.count == file.interfacesPerSection.reduce(0, +))
    }

    @Test("The packets are those tshark finds", arguments: CaptureKinds.all.filter { $0.tsharkDiffers == nil })
    func sameAsTshark(_ file: BuiltCapture) throws {
        try requireTool("tshark")
        let found = try withTemporaryDirectory { folder in
            try writeFile("\(folder)/capture", file.bytes)
            return try tsharkPackets("\(folder)/capture", interfacesPerSection: file.interfacesPerSection)
        }
        #expect(try parse(file.bytes).packets == found)
    }

    @Test("The size of the portions makes no difference", arguments: CaptureKinds.all)
    func portions(_ file: BuiltCapture) throws {
        let whole = try parse(file.bytes)
        #expect(try parse(file.bytes, portion: 1) == whole)
        #expect(try parse(file.bytes, portion: 7) == whole)
    }

    @Test("Interfaces are described as the file says")
    func interfaces() throws {
        for order in ByteOrder.allCases {
            var file = PcapngBuilder()
            file.section(order)
            file.interface(
                linkType: 113, snapLength: 1234, resolution: 0x8a, offset: -5,
                [
                    .text(2, "eth0\0"), .text(2, "second name"), .text(3, "A description"),
                    .bytes(6, [1, 2, 3, 4, 5, 6]), .text(11, "\0port 80"), .text(12, "Linux"),
                    .text(15, "Card"), .bytes(13, [4]), .text(1, "comment"), .bytes(2988, [9, 9, 9, 9, 9]),
                ])
            file.interface(linkType: 1, snapLength: 0, [.bytes(11, [1, 0, 0]), .bytes(13, [32]), .bytes(6, [1])])
            var first = InterfaceDescription(linkType: .linuxCooked, snapLength: 1234)
            first.name = "eth0"
            first.description = "A description"
            first.filter = "port 80"
            first.hardware = "Card"
            first.operatingSystem = "Linux"
            first.hardwareAddress = [1, 2, 3, 4, 5, 6]
            first.frameCheckOctets = 4
            first.timestampResolution = 0x8a
            first.timestampOffset = -5
            var second = InterfaceDescription(linkType: .ethernet, snapLength: 0)
            second.frameCheckOctets = 4
            #expect(try parse(file.built("").bytes).interfaces == [first, second])
        }
    }

    @Test("The header of a pcap file describes its interface")
    func classicInterfaces() throws {
        for order in ByteOrder.allCases {
            let file = ClassicBuilder(
                .nanoseconds, order: order, snapLength: 96, linkTypeWord: 0x2400_0000 | 276)
            var expected = InterfaceDescription(linkType: .linuxCooked2, snapLength: 96)
            expected.frameCheckOctets = 4
            expected.timestampResolution = 9
            #expect(try parse(file.built("").bytes).interfaces == [expected])
            // Without the bit that says so, the length of the frame check sequence means nothing.
            let without = ClassicBuilder(order: order, snapLength: 96, linkTypeWord: 0x2000_0001).built("")
            #expect(
                try parse(without.bytes).interfaces
                    == [InterfaceDescription(linkType: .ethernet, snapLength: 96)])
        }
    }

    @Test("Real captures give what tshark finds in them")
    func realCaptures() throws {
        let folder = try requireEnvironment("SPILLWAY_CAPTURES")
        try requireTool("tshark")
        let names = try directoryEntries(folder).filter { $0.contains(".pcap") }
        #expect(!names.isEmpty)
        for name in names {
            let bytes = try readFile("\(folder)/\(name)")
            let outcome = try parse(bytes, portion: 100_000)
            #expect(outcome.damage == nil, "\(name)")
            // All of them have one section.
            let found = try tsharkPackets(
                "\(folder)/\(name)", interfacesPerSection: [outcome.interfaces.count])
            #expect(outcome.packets == found, "\(name)")
            #expect(try parse(bytes, portion: 4093) == outcome, "\(name)")
        }
    }

    @Test("Units too small for tshark come out as tcpdump has them", arguments: ByteOrder.allCases)
    func sameAsTcpdump(_ order: ByteOrder) throws {
        try requireTool("tcpdump")
        var file = PcapngBuilder()
        file.section(order)
        let resolutions: [UInt8] = [10, 11, 12, 13, 15, 17, 18, 19]
        for resolution in resolutions { file.interface(resolution: resolution) }
        for number in resolutions.indices {
            // Zeros make tcpdump write one line per packet.
            file.enhanced(number, units: 12_345_678_901_234_567_890, [UInt8](repeating: 0, count: 60))
        }
        let bytes = file.built("").bytes
        let lines = try withTemporaryDirectory { folder in
            try writeFile("\(folder)/capture", bytes)
            return try run("tcpdump", ["--nano", "-tt", "-n", "-r", "\(folder)/capture"]).checked().outputLines
        }
        let times = lines.map { line in
            UInt64(line.prefix { $0 != " " }.filter { $0 != "." }) ?? 0
        }
        #expect(try parse(bytes).packets.map(\.time) == times)
    }

    @Test("Interfaces beyond the first table are kept apart")
    func manyInterfaces() throws {
        var file = PcapngBuilder()
        file.section(.little)
        for number in 0..<300 { file.interface(resolution: UInt8(number % 10), [.text(2, "if\(number)")]) }
        for number in 0..<300 { file.enhanced(number, units: 1_000_000, [UInt8(number & 255)]) }
        let built = file.built("")
        let outcome = try parse(built.bytes)
        #expect(outcome.packets == built.packets)
        #expect(outcome.interfaces.map(\.name) == (0..<300).map { "if\($0)" })
    }
}
