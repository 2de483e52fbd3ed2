import Glibc
import TestSupport
import Testing

@Suite("What the collector makes of deliveries")
struct DeliveryTests {
    static let run = SampleRun(seed: 21, interfaces: 2)

    @Test("Our own other end of proofs computes SHA-256 and HMAC as published")
    func digests() {
        func hex(_ bytes: [UInt8]) -> String {
            bytes.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined()
        }
        // FIPS 180-4's example "abc", and test case 2 of RFC 4231.
        #expect(
            hex(Digest.sha256(Array("abc".utf8)))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            hex(Digest.hmac(Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8)))
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    }

    @Test("Every packet is in a file once, in time order, and tshark, tcpdump, capinfos and editcap read the files")
    func exactSet() throws {
        for tool in ["tshark", "tcpdump", "capinfos", "editcap"] { try requireTool(tool) }
        try withTemporaryDirectory { folder in
            let collector = try RunningCollector("\(folder)/out")
            let others = SampleRun(seed: 22, interfaces: 3)
            let batches =
                Deliveries.batches(Self.run, 0..<40, minutes: 3) + Deliveries.batches(Self.run, 0..<30, worker: 1)
                + Deliveries.batches(others, 0..<30, minutes: 2)
            #expect(try Deliveries.deliver(batches.shuffled(), to: collector.port))
            let report = try collector.stop()
            let files = try CollectedFile.all(in: "\(folder)/out")
            #expect(difference(files, batches) == nil)
            #expect(files.map(\.name).allSatisfy { $0.hasPrefix("s-EN10MB-20231114T22") && !$0.contains("part") })
            #expect(files.count == 3 && files.allSatisfy { $0.statistics == Array(0..<UInt32($0.interfaces.count)) })
            #expect(report["packets"] == 300 && report["batches"] == 100 && report["duplicates"] == 0)
            #expect(report["files"] == 3 && report["corrupt"] == 0)
            for file in files { try Self.check("\(folder)/out/\(file.name)", file, folder) }
        }
    }

    private static func check(_ path: String, _ file: CollectedFile, _ folder: String) throws {
        let found = try tsharkPackets(path, interfacesPerSection: [file.interfaces.count])
        #expect(found.map(\.bytes) == file.packets.map(\.bytes) && found.map(\.time) == file.packets.map(\.time))
        for (tool, arguments) in [
            ("tcpdump", ["--count", "-r", path]), ("capinfos", ["-M", "-c", "-o", path]),
            ("editcap", [path, "\(folder)/copy.pcapng"]),
        ] {
            let result = try TestSupport.run(tool, arguments).checked()
            // tcpdump says on standard error which file it reads.
            #expect(result.errorText.isEmpty || tool == "tcpdump" && result.errorText.hasPrefix("reading from file"))
            if tool == "capinfos" { #expect(result.outputText.contains("Strict time order:   True")) }
        }
    }

    @Test("The same batch over several connections, in any order, is taken once and acknowledged each time")
    func duplicates() throws {
        try withTemporaryDirectory { folder in
            let collector = try RunningCollector("\(folder)/out")
            let batches = Deliveries.batches(Self.run, 0..<20)
            // Two connections at the same time, neither knowing what the other one sends, each everything twice.
            let players = try (0..<2).map { _ in try #require(Player(port: collector.port)) }
            for player in players { #expect(try player.open(batches)) }
            for player in players {
                let twice = (batches.shuffled() + batches.shuffled()).flatMap(\.bytes)
                player.connection.send(Player.preamble(Self.run) + twice)
            }
            for player in players { #expect(try player.waitAcknowledged(batches)) }
            let third = try #require(Player(port: collector.port))
            #expect(try third.open(batches) && third.had == Set(batches.map(\.identity)))
            let report = try collector.stop()
            #expect(difference(try CollectedFile.all(in: "\(folder)/out"), batches) == nil)
            #expect(report["batches"] == 20 && report["duplicates"] == 60)
        }
    }

    @Test("A connection cut at every byte of a short session: what was acknowledged stays, what was not comes again")
    func cuts() throws {
        try withTemporaryDirectory(in: Deliveries.memory) { folder in
            let collector = try RunningCollector("\(folder)/out")
            let batches = Deliveries.batches(Self.run, 0..<2, packets: 1, length: 4)
            let bytes =
                Player.sectionHeader + Player.session(sensor: "s", destination: "d", runs: [Self.run])
                + Player.inventory(batches, [Self.run]) + Player.preamble(Self.run) + batches.flatMap(\.bytes)
                + Player.end(0)
            var acknowledged: Set<Identity> = []
            for count in 0...bytes.count {
                let player = try #require(Player(port: collector.port))
                player.connection.send(Array(bytes[..<count]))
                player.connection.finish()
                _ = try player.wait { $0.hasEnded }
                // Nothing is ever taken back.
                #expect(acknowledged.isSubset(of: player.had) || !player.haveIsComplete, "cut at \(count)")
                acknowledged.formUnion(player.acknowledged)
            }
            #expect(acknowledged == Set(batches.map(\.identity)))
            _ = try collector.stop()
            #expect(difference(try CollectedFile.all(in: "\(folder)/out"), batches) == nil)
        }
    }

    @Test("What comes late for a finished file makes a further part; files of other sensors and link types are apart")
    func series() throws {
        try withTemporaryDirectory { folder in
            let collector = try RunningCollector("\(folder)/out", ["--rotate-size", "4K"])
            let raw = SampleRun(seed: 23, interfaces: 1, linkType: 228)
            let ethernet = Deliveries.batches(Self.run, 0..<40, packets: 4, length: 60)
            let ipv4 = Deliveries.batches(raw, 0..<3)
            let other = Deliveries.batches(SampleRun(seed: 24), 0..<3)
            #expect(try Deliveries.deliver(Array(ethernet.reversed()), to: collector.port))
            #expect(try Deliveries.deliver(ipv4, to: collector.port))
            #expect(try Deliveries.deliver(other, to: collector.port, sensor: "t.2"))
            _ = try collector.stop()
            let files = try CollectedFile.all(in: "\(folder)/out")
            let series = Dictionary(grouping: files) { $0.name.split(separator: "-").prefix(2).joined(separator: "-") }
            #expect(Set(series.keys) == ["s-EN10MB", "s-IPV4", "t.2-EN10MB"])
            #expect(difference(series["s-EN10MB"] ?? [], ethernet) == nil)
            #expect(difference(series["s-IPV4"] ?? [], ipv4) == nil)
            #expect(difference(series["t.2-EN10MB"] ?? [], other) == nil)
            #expect((series["s-EN10MB"] ?? []).contains { $0.name.hasSuffix(".part2.pcapng") })
            // The same span of time again, in another life.
            let second = try RunningCollector("\(folder)/out")
            let late = Deliveries.batches(Self.run, 100..<104, packets: 1)
            #expect(try Deliveries.deliver(late, to: second.port))
            _ = try second.stop()
            let all = try CollectedFile.all(in: "\(folder)/out").filter { $0.name.hasPrefix("s-EN10MB") }
            #expect(all.count == (series["s-EN10MB"] ?? []).count + 1)
            #expect(difference(all, ethernet + late) == nil)
        }
    }

    @Test("What never comes is not asked for, and what comes all the same is acknowledged and thrown away")
    func excluded() throws {
        try withTemporaryDirectory { folder in
            let collector = try RunningCollector("\(folder)/out")
            let batches = Deliveries.batches(Self.run, 0..<10)
            let player = try #require(Player(port: collector.port))
            // Of the numbers below 8 only 2 to 5 are owed; 4 is taken back later; 8 and 9 are new.
            #expect(
                try player.open(
                    batches, owed: Player.list(Player.owed, Self.run, mark: 8, [2..<6], isLast: true)))
            player.connection.send(
                Player.preamble(Self.run) + Player.list(Player.gone, Self.run, reason: 1, [4..<5])
                    + batches.flatMap(\.bytes))
            #expect(try player.waitAcknowledged(batches))
            let report = try collector.stop()
            let taken = [2, 3, 5, 8, 9].map { batches[$0] }
            #expect(difference(try CollectedFile.all(in: "\(folder)/out"), taken) == nil)
            #expect(report["duplicates"] == 5 && report["excluded"] == 5)
        }
    }

    @Test("Statistics of the interfaces are in the files, as the sensor told them last")
    func statistics() throws {
        try requireTool("tshark")
        try withTemporaryDirectory { folder in
            let collector = try RunningCollector("\(folder)/out")
            let batches = Deliveries.batches(Self.run, 0..<4)
            let player = try #require(Player(port: collector.port))
            #expect(try player.open(batches))
            func statistics(_ received: UInt64) -> [UInt8] {
                var body = ByteWriter(.little)
                body.number(UInt32(1))
                body.number(UInt64(0))
                for (code, value) in [(UInt16(4), received), (5, 17)] {
                    body.number(code)
                    body.number(UInt16(8))
                    body.number(value)
                }
                body.number(UInt32(0))
                return sampleBlock(5, body.bytes)
            }
            player.connection.send(
                Player.preamble(Self.run) + batches[..<3].flatMap(\.bytes) + statistics(100) + batches[3].bytes
                    + statistics(123))
            #expect(try player.waitAcknowledged(batches))
            player.connection.send(Player.end(0))
            _ = try player.wait { $0.hasEnded }
            _ = try collector.stop()
            let file = try #require(try CollectedFile.all(in: "\(folder)/out").first)
            // Interface 0: only what is in the file. Interface 1: what the sensor said.
            let bytes = try readFile("\(folder)/out/\(file.name)")
            func option(_ code: UInt16, _ value: UInt64) -> [UInt8] {
                var out = ByteWriter(.little)
                out.number(code)
                out.number(UInt16(8))
                out.number(value)
                return out.bytes
            }
            let counts = (0..<2).map { interface in
                UInt64(file.packets.filter { $0.interface == "eth\(interface)" }.count)
            }
            for expected in [option(4, 123), option(5, 17), option(8, counts[0]), option(8, counts[1])] {
                #expect(!bytes.ranges(of: expected).isEmpty)
            }
            #expect(bytes.ranges(of: option(4, 100)).isEmpty)
        }
    }
}
