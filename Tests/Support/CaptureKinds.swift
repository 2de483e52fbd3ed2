/// One small generated capture file of every kind a reader must understand.
public enum CaptureKinds {
    /// All of them.
    public static let all = classic + pcapng
    /// Those of at most 2 KiB, for tests whose work grows with the square of the size.
    public static let small = all.filter { $0.bytes.count <= 2048 }
    /// Classic pcap: every magic number, version, byte order and link type word.
    public static let classic = classicKinds()
    /// pcapng: every kind in both byte orders, and sections of mixed order.
    public static let pcapng =
        ByteOrder.allCases.flatMap { pcapngKinds($0) } + [mixedSections(), emptySections()]

    private static func classicKinds() -> [BuiltCapture] {
        var kinds: [BuiltCapture] = []
        for order in ByteOrder.allCases {
            for magic in ClassicBuilder.Magic.allCases {
                kinds.append(classicFile(magic, order, (2, 4), "2.4", originalFirst: false))
            }
            for minor: UInt16 in 0...2 {
                kinds.append(classicFile(.microseconds, order, (2, minor), "2.\(minor)", originalFirst: true))
            }
            kinds.append(classicFile(.microseconds, order, (543, 0), "543.0", originalFirst: true))
            for originalFirst in [false, true] {
                let name = "2.3, \(originalFirst ? "original" : "captured") length first"
                kinds.append(classicFile(.microseconds, order, (2, 3), name, originalFirst: originalFirst))
            }
            var withCheck = ClassicBuilder(order: order, linkTypeWord: 0x2400_0001)
            withCheck.packet(seconds: 5, fraction: 6, sampleBytes(64, seed: 1))
            kinds.append(withCheck.built("pcap \(order), four octets of frame check sequence"))
            kinds.append(ClassicBuilder(order: order).built("pcap \(order), no packets"))
        }
        return kinds
    }

    private static func classicFile(
        _ magic: ClassicBuilder.Magic, _ order: ByteOrder, _ version: (UInt16, UInt16), _ text: String,
        originalFirst: Bool
    ) -> BuiltCapture {
        var file = ClassicBuilder(magic, order: order, version: version, originalFirst: originalFirst)
        file.packet(seconds: 1_700_000_000, fraction: 123_456, sampleBytes(60, seed: 1))
        file.packet(seconds: 1_700_000_000, fraction: 999_999, sampleBytes(61, seed: 2), original: 1500)
        file.packet(seconds: 0, fraction: 0, sampleBytes(14, seed: 3), original: 9000)
        file.packet(seconds: .max, fraction: 999_999, sampleBytes(99, seed: 4))
        return file.built("pcap \(magic) \(order) \(text)")
    }

    private static func pcapngKinds(_ order: ByteOrder) -> [BuiltCapture] {
        [
            plain(order), resolutions(order), offsets(order), packetBlocks(order), foreignBlocks(order),
            interfaces(order), knownLength(order), openOptions(order), minorTwo(order), extremeTimes(order),
        ]
    }

    private static let now: UInt64 = 1_700_000_000_123_456_789

    private static func plain(_ order: ByteOrder) -> BuiltCapture {
        var file = PcapngBuilder()
        file.section(order)
        file.interface(resolution: 9)
        for index in 0..<5 {
            file.enhanced(0, units: now + UInt64(index), sampleBytes(20 + index, seed: index))
        }
        file.enhanced(0, units: now, sampleBytes(40, seed: 9), original: 1500)
        return file.built("pcapng \(order), nanoseconds")
    }

    private static func resolutions(_ order: ByteOrder) -> BuiltCapture {
        var file = PcapngBuilder()
        file.section(order)
        let values: [UInt8?] = [nil, 0, 3, 6, 7, 9, 10, 0x80, 0x8a, 0x94, 0x9e, 0xa0]
        for value in values { file.interface(resolution: value) }
        for (number, value) in values.enumerated() {
            // About 30 years in units of the interface.
            let unitsPerSecond: UInt64
            if let value, value & 0x80 != 0 {
                unitsPerSecond = 1 << UInt64(value & 0x7f)
            } else {
                unitsPerSecond = (0..<(value ?? 6)).reduce(1) { power, _ in power * 10 }
            }
            let units = unitsPerSecond * 1_000_000_000 + unitsPerSecond / 3
            file.enhanced(number, units: units, sampleBytes(30, seed: number))
        }
        return file.built("pcapng \(order), many resolutions")
    }

    /// What tshark cannot do: units so small, or counts so great, that its arithmetic overflows.
    private static func extremeTimes(_ order: ByteOrder) -> BuiltCapture {
        var file = PcapngBuilder()
        file.section(order)
        let resolutions: [UInt8] = [0, 9, 12, 18, 19, 20, 28, 29, 127, 0x80, 0xa8, 0xbf, 0xc0, 0xff]
        let offsets: [Int64] = [0, 1, -1, .max, .min]
        for resolution in resolutions {
            for offset in offsets { file.interface(resolution: resolution, offset: offset) }
        }
        for number in 0..<resolutions.count * offsets.count {
            for units in [0, 1, 1 << 63, UInt64.max] { file.enhanced(number, units: units, [1, 2, 3]) }
        }
        return file.built("pcapng \(order), extreme times", tsharkDiffers: "its arithmetic overflows")
    }

    private static func offsets(_ order: ByteOrder) -> BuiltCapture {
        var file = PcapngBuilder()
        file.section(order)
        file.interface(offset: 1_700_000_000)
        file.interface(resolution: 9, offset: -50)
        file.interface(resolution: 0x8a, offset: 7)
        file.enhanced(0, units: 123_456, sampleBytes(20, seed: 1))
        file.enhanced(1, units: now, sampleBytes(21, seed: 2))
        file.enhanced(2, units: 1_700_000_000 << 10 | 512, sampleBytes(22, seed: 3))
        return file.built("pcapng \(order), time offsets")
    }

    private static func packetBlocks(_ order: ByteOrder) -> BuiltCapture {
        var file = PcapngBuilder()
        file.section(order)
        file.interface(snapLength: 50)
        file.interface(snapLength: 0, resolution: 9)
        file.simple(sampleBytes(50, seed: 1))
        file.simple(sampleBytes(33, seed: 2))
        file.simple(sampleBytes(70, seed: 3))
        file.obsolete(1, units: now, sampleBytes(23, seed: 4), original: 80)
        file.enhanced(1, units: now + 1, sampleBytes(24, seed: 5))
        file.section(order)
        file.interface(snapLength: 0)
        file.simple(sampleBytes(71, seed: 6))
        return file.built("pcapng \(order), simple and obsolete packet blocks")
    }

    private static func foreignBlocks(_ order: ByteOrder) -> BuiltCapture {
        var file = PcapngBuilder()
        file.section(order, [.text(2, "hardware"), .text(3, "system"), .text(4, "application")])
        file.other(0xbad, [1, 2, 3, 4, 5, 6, 7, 8])
        file.interface(resolution: 9)
        file.other(10, sampleBytes(40, seed: 1).map { $0 & 0 })
        file.enhanced(0, units: now, sampleBytes(20, seed: 2))
        file.other(4, [0, 0, 0, 0])
        file.other(5, [UInt8](repeating: 0, count: 12))
        file.other(0x8053_5054, sampleBytes(16, seed: 3))
        file.other(0x4000_0bad, [4, 3, 2, 1])
        file.other(0x7fff_fff0, [])
        file.enhanced(0, units: now + 1, sampleBytes(21, seed: 4))
        return file.built("pcapng \(order), foreign blocks")
    }

    private static func interfaces(_ order: ByteOrder) -> BuiltCapture {
        var file = PcapngBuilder()
        file.section(order)
        file.interface(snapLength: 96, resolution: 9, [.text(2, "eth0"), .text(3, "the first")])
        file.interface(snapLength: 0, [.text(2, "eth1"), .bytes(6, [2, 0, 0, 0, 0, 1])])
        // More bytes than its snap length, which only libpcap minds.
        file.enhanced(0, units: now, sampleBytes(120, seed: 1), original: 120)
        file.enhanced(1, units: now / 1000, sampleBytes(20, seed: 2))
        file.interface(snapLength: 65535, resolution: 3, [.text(2, "late")])
        file.enhanced(2, units: now / 1_000_000, sampleBytes(21, seed: 3))
        file.enhanced(0, units: now + 1, sampleBytes(22, seed: 4))
        return file.built("pcapng \(order), several interfaces")
    }

    private static func knownLength(_ order: ByteOrder) -> BuiltCapture {
        var file = PcapngBuilder()
        for section in 0..<2 {
            file.section(order, statesLength: true)
            file.interface()
            file.enhanced(0, units: now / 1000, sampleBytes(20, seed: section))
        }
        return file.built("pcapng \(order), sections of stated length")
    }

    private static func openOptions(_ order: ByteOrder) -> BuiltCapture {
        var file = PcapngBuilder(endsOptions: false)
        file.section(order, [.text(1, "a comment")])
        file.interface(resolution: 9, [.text(1, "another")])
        file.enhanced(0, units: now, sampleBytes(20, seed: 1), [.number(2, UInt32(1)), .text(1, "odd")])
        file.enhanced(0, units: now, sampleBytes(0, seed: 2), original: 77, [.number(4, UInt64(3))])
        return file.built("pcapng \(order), options without an end")
    }

    private static func minorTwo(_ order: ByteOrder) -> BuiltCapture {
        var file = PcapngBuilder()
        file.section(order, minor: 2)
        file.interface()
        file.enhanced(0, units: now / 1000, sampleBytes(20, seed: 1))
        return file.built("pcapng \(order), version 1.2")
    }

    private static func mixedSections() -> BuiltCapture {
        var file = PcapngBuilder()
        for (index, order) in [ByteOrder.little, .big, .big, .little, .big].enumerated() {
            file.section(order, statesLength: index == 1)
            for number in 0...index {
                file.interface(
                    snapLength: UInt32(65536 + index), resolution: UInt8(9 - number),
                    [.text(2, "if\(index).\(number)")])
            }
            for number in 0...index {
                file.enhanced(number, units: 1_600_000_000_000, sampleBytes(16 + index, seed: number))
            }
        }
        return file.built("pcapng, sections of differing byte order")
    }

    private static func emptySections() -> BuiltCapture {
        var file = PcapngBuilder()
        file.section(.big)
        file.section(.little)
        file.interface()
        file.section(.big)
        file.interface()
        file.enhanced(0, units: 1, sampleBytes(20, seed: 1))
        file.section(.little)
        return file.built("pcapng, empty sections")
    }
}
