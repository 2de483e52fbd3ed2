import Glibc
import TestSupport
import Testing

@Suite("L: formats, damage and what does not fit together", .timeLimit(.minutes(5)))
struct FormatTests {
    private func mounted(_ files: [(String, [UInt8])], _ options: String = "settle=50ms") throws -> Mounted {
        try Mounted(options) { source in
            for (name, bytes) in files { try writeFile("\(source)/\(name)", bytes) }
        }
    }

    /// What tshark reads out of a name.
    private func packets(_ mounted: Mounted, _ name: String, sections: Int = 1) throws -> [SamplePacket] {
        let interfaces = [Int](repeating: 1, count: sections)
        return try tsharkPackets(mounted.path(name), interfacesPerSection: interfaces).map { packet in
            var packet = packet
            packet.interface = 0
            return packet
        }
    }

    private func expected(_ numbers: Range<Int>, _ magic: ClassicBuilder.Magic = .microseconds, size: Int = 100)
        -> [SamplePacket]
    {
        numbers.map { number in
            let bytes = sampleBytes(size + number % 50, seed: number)
            let fraction: UInt64 = magic == .nanoseconds ? 7 : 7000
            return SamplePacket(
                time: UInt64(1000 + number) * 1_000_000_000 + fraction, original: UInt32(bytes.count), interface: 0,
                bytes: bytes)
        }
    }

    @Test("L4: files without a packet, without a header, or that are no captures, are passed over")
    func uselessFiles() throws {
        let mounted = try mounted([
            ("a", []), ("b", capture(0..<3)), ("c", capture(0..<0)), ("d", []), ("e", Array("no capture".utf8)),
            ("f", capture(3..<5)), ("g", []),
        ])
        let expected = joinedCaptures(capture(0..<3), capture(3..<5))
        #expect(try mounted.cat("a..f") == expected)
        #expect(try mounted.cat("b..g") == expected)
        #expect(try mounted.size("a..f") == Int64(expected.count))
        try mounted.waitForLog("e: passed over: it is neither a pcap nor a pcapng file")
    }

    @Test(
        "L4: space that was reserved and not written is no data, in the middle and at a live end",
        arguments: [false, true])
    func reservedSpace(isPcapng: Bool) throws {
        let make = { (numbers: Range<Int>) in isPcapng ? captureNG(numbers) : capture(numbers) }
        let zeros = [UInt8](repeating: 0, count: 10_000)
        let mounted = try mounted([("a", make(0..<5) + zeros), ("b", make(5..<9) + zeros)])
        let joined = isPcapng ? make(0..<5) + make(5..<9) : joinedCaptures(make(0..<5), make(5..<9))
        #expect(try mounted.cat("a..b") == joined)
        let reader = try mounted.reader("b")
        try reader.waitFor(make(5..<9).count)
        // The writer goes on where the zeros are.
        let more = Array(make(5..<12).dropFirst(make(5..<9).count))
        let file = unsafe open("\(mounted.source)/b", O_WRONLY)
        _ = unsafe more.withUnsafeBytes { unsafe pwrite(file, $0.baseAddress, $0.count, off_t(make(5..<9).count)) }
        close(file)
        try reader.waitFor(make(5..<12).count)
        expectSame(reader.bytes, make(5..<12))
    }

    @Test(
        "A file that ends inside a record is completed by zeros, and what follows is unharmed",
        arguments: [false, true])
    func tornEnds(isPcapng: Bool) throws {
        try requireTool("tcpdump")
        let make = { (numbers: Range<Int>) in isPcapng ? captureNG(numbers) : capture(numbers) }
        let (whole, one) = (make(0..<4), make(0..<3).count)
        let cuts = Array(one + 1..<whole.count)
        let files = cuts.map { ("t\($0)", Array(whole.prefix($0))) } + [("z", make(10..<12))]
        let mounted = try mounted(files)
        for cut in cuts.filter({ $0 < one + 40 || $0 > whole.count - 6 || $0 % 16 == 0 }) {
            // From the torn file alone to the last one: what is between is torn as well.
            let output = try mounted.cat("t\(cut)..z")
            #expect(output.prefix(cut) == whole.prefix(cut))
            #expect(
                output.suffix(make(10..<12).count - (isPcapng ? 0 : 24)) == make(10..<12).dropFirst(isPcapng ? 0 : 24))
            let listed = try run("tcpdump", ["-n", "-r", "-", "-tt"], input: output)
            #expect(listed.status == .exited(0), "cut \(cut): \(listed.errorText)")
            #expect(
                !listed.errorText.contains("truncated") && !listed.errorText.contains("bogus"), "\(listed.errorText)")
        }
        try mounted.waitForLog("ends inside a record")
    }

    /// Six packets, of which the fourth has a length that makes no sense, and how many bytes are good.
    private func damaged(_ make: (Range<Int>) -> [UInt8], _ isPcapng: Bool) -> (bytes: [UInt8], good: Int) {
        var bad = make(0..<6)
        let good = make(0..<3).count
        bad.replaceSubrange(good + (isPcapng ? 4 : 8)..<good + (isPcapng ? 8 : 12), with: [0xFF, 0xFF, 0xFF, 0xFF])
        return (bad, good)
    }

    @Test("A damaged file gives what is good and then EIO; nobody hangs", arguments: [false, true])
    func damage(isPcapng: Bool) throws {
        let make = { (numbers: Range<Int>) in isPcapng ? captureNG(numbers) : capture(numbers) }
        let (bad, good) = damaged(make, isPcapng)
        let mounted = try mounted([("a", make(7..<9)), ("b", bad), ("c", make(9..<11))])
        for name in ["a", "a..c"] {
            let result = try run("cat", [mounted.path(name)])
            #expect(result.status == .exited(1))
            let expected = isPcapng ? make(7..<9) + make(0..<3) : joinedCaptures(make(7..<9), make(0..<3))
            #expect(result.output == expected)
        }
        try mounted.waitForLog("b: at offset \(good): a length that cannot be right")
    }

    @Test("What was given on of a damaged file can be read again after the error", arguments: [false, true])
    func readAgain(isPcapng: Bool) throws {
        let make = { (numbers: Range<Int>) in isPcapng ? captureNG(numbers) : capture(numbers) }
        let (bad, _) = damaged(make, isPcapng)
        let mounted = try mounted([("a", make(7..<9)), ("b", bad)])
        let file = unsafe open(mounted.path("a..b"), O_RDONLY | O_CLOEXEC)
        try #require(file >= 0)
        defer { close(file) }
        let expected = isPcapng ? make(7..<9) + make(0..<3) : joinedCaptures(make(7..<9), make(0..<3))
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        var read = 0
        while true {
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe pread(file, $0.baseAddress! + read, 1000, off_t(read))
            }
            guard count > 0 else {
                #expect(count == -1 && errno == EIO)
                break
            }
            read += count
        }
        #expect(Array(bytes[..<read]) == expected)
        for offset in stride(from: expected.count - 1, through: 0, by: -7) {
            let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(file, $0.baseAddress!, 50, off_t(offset)) }
            #expect(Array(bytes[..<max(0, count)]) == Array(expected[offset...].prefix(50)), "at \(offset)")
        }
    }

    @Test("L5: neighbours of other byte order and coarser time are converted, and every packet is the same")
    func conversions() throws {
        try requireTool("tshark")
        for first in ByteOrder.allCases {
            let second: ByteOrder = first == .little ? .big : .little
            let mounted = try mounted([
                ("a", capture(0..<5, .nanoseconds, order: first)),
                ("b", capture(5..<900, .microseconds, order: second)),
                ("c", capture(900..<905, .nanoseconds, order: second)),
            ])
            let all = expected(0..<5, .nanoseconds) + expected(5..<900) + expected(900..<905, .nanoseconds)
            #expect(try packets(mounted, "a..c") == all)
            // A closed range knows beforehand that finer time is to come.
            #expect(try packets(mounted, "b..c") == expected(5..<900) + expected(900..<905, .nanoseconds))
            let size = try mounted.size("a..c")
            #expect(try mounted.cat("a..c").count == Int(size))
        }
    }

    @Test("L5: converted files are read at any offset as they are in sequence")
    func convertedAtRandom() throws {
        let mounted = try mounted([
            ("a", capture(0..<3000, order: .big, size: 700)), ("b", capture(3000..<6000, order: .little, size: 700)),
        ])
        let all = try mounted.cat("a..b")
        let file = unsafe open(mounted.path("a..b"), O_RDONLY)
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 5000)
        for step in 0..<300 {
            let offset = (step &* 7_919_123) % (all.count - 5000)
            #expect(unsafe pread(file, &buffer, 5000, off_t(offset)) == 5000)
            #expect(buffer[...] == all[offset..<offset + 5000], "offset \(offset)")
        }
    }

    @Test("L5: a larger snapshot length is fine as long as no packet needs it, and promised when it is known")
    func snapLengths() throws {
        let mounted = try mounted([
            ("a", capture(0..<3, snapLength: 200)), ("b", capture(3..<6, snapLength: 500)),
            ("c", capture(6..<8, snapLength: 500, size: 300)),
        ])
        let reader = try mounted.reader("a")
        #expect(try reader.wait().status == .exited(1))
        expectSame(reader.bytes, joinedCaptures(capture(0..<3, snapLength: 200), capture(3..<6)))
        try mounted.waitForLog("c: at offset 24: a packet longer than the stream's header allows")
        let closed = try mounted.cat("a..c")
        #expect(
            closed.dropFirst(24)
                == joinedCaptures(capture(0..<3), capture(3..<6), capture(6..<8, size: 300)).dropFirst(24))
        #expect(closed[16..<20] == [0xF4, 1, 0, 0])
    }

    @Test("L5: what cannot be glued is EIO, with the reason in the log and in .status")
    func mismatches() throws {
        let cases: [([UInt8], String)] = [
            (capture(3..<6, linkType: 113), "its link type is 113, that of the files before 1"),
            (captureNG(3..<6), "pcap and pcapng files cannot be read as one"),
            (capture(3..<6, .nanoseconds), "its times are nanoseconds"),
            (capture(3..<6, .modified), "its records have longer headers"),
        ]
        for (second, reason) in cases {
            let mounted = try mounted([("a", capture(0..<3)), ("b", second)])
            let file = unsafe open(mounted.path("a"), O_RDONLY)
            defer { close(file) }
            var buffer = [UInt8](repeating: 0, count: 4096)
            #expect(unsafe read(file, &buffer, 4096) == capture(0..<3).count)
            #expect(unsafe read(file, &buffer, 4096) == -1 && errno == EIO)
            try mounted.waitForLog("b: \(reason)")
            #expect(String(decoding: try readFile(mounted.path(".status")), as: UTF8.self).contains(reason))
        }
    }

    @Test("L6: what libpcap refuses in a later section is made so that it reads it")
    func laterSections() throws {
        try requireTool("tcpdump")
        try requireTool("tshark")
        let cases: [(String, [UInt8], [UInt8])] = [
            ("snapshot length", captureNG(0..<3), captureNG(3..<6, snapLength: 65535)),
            ("no limit", captureNG(0..<3, snapLength: 0), captureNG(3..<6, snapLength: 9000)),
            ("larger, known", captureNG(0..<3, snapLength: 9000), captureNG(3..<6)),
        ]
        for (what, first, second) in cases {
            let mounted = try mounted([("a", first), ("b", second)])
            let result = try run("tcpdump", ["-n", "-r", mounted.path("a..b")])
            #expect(result.status == .exited(0) && result.outputLines.count >= 6, "\(what): \(result.errorText)")
            let found = try packets(mounted, "a..b", sections: 2)
            #expect(found.map(\.bytes) == (0..<6).map { sampleBytes(60 + $0 % 50, seed: $0) }, "\(what)")
        }
        let raw = try mounted([("a", captureNG(0..<3, linkType: 101)), ("b", captureNG(3..<6, linkType: 101))])
        let result = try run("tcpdump", ["-n", "-r", raw.path("a..b"), "--count"])
        #expect(result.status == .exited(0) && result.outputText + result.errorText != "", "\(result.errorText)")
        #expect((result.outputText + result.errorText).contains("6 packets"))
        #expect(try packets(raw, "a..b", sections: 2).count == 6)
    }

    @Test("L6: a section of other byte order or link type is EIO")
    func refusedSections() throws {
        for (second, reason) in [
            (captureNG(3..<6, order: .big), "byte order"), (captureNG(3..<6, linkType: 113), "link type"),
        ] {
            let mounted = try mounted([("a", captureNG(0..<3)), ("b", second)])
            let result = try run("cat", [mounted.path("a")])
            #expect(result.status == .exited(1) && result.output == captureNG(0..<3))
            try mounted.waitForLog(reason)
        }
    }
}
