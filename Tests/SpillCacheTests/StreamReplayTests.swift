import Glibc
import Machine
import SpillCache
import TestSupport
import Testing

@Suite("A cache sent by hand", .serialized)
struct StreamReplayTests {
    static let runs = [SampleRun(seed: 51, interfaces: 2), SampleRun(seed: 52)]

    /// Several files of two runs whose arrivals overlap. One batch is damaged.
    private struct Stock {
        let sample: CacheSample
        let folder: String
        /// What is good, newest first.
        let newestFirst: [SampleBatch]

        init(_ folder: String, count: UInt64 = 60, damaged: Bool = true) throws {
            self.folder = folder
            var files: [[SampleBatch]] = [[], [], []]
            for number in 0..<count {
                let run = StreamReplayTests.runs[Int(number % 2)]
                files[Int(number % 5 / 2)].append(
                    CacheSample.batch([number * 1000, number * 1000 + 600], run: run, number: number / 2, length: 900))
            }
            sample = try CacheSample("\(folder)/cache", files, open: [1])
            var good = files.flatMap(\.self)
            if damaged {
                let victim = files[0][3]
                let path = "\(folder)/cache/\(sample.names[0])"
                var bytes = try readFile(path)
                let place = try #require(bytes.firstRange(of: victim.bytes))
                bytes[place.lowerBound + 40] ^= 1
                try writeFile(path, bytes)
                good.removeAll { $0 == victim }
            }
            // Arrivals are packet times plus a second.
            newestFirst = good.sorted { $0.packets[1].time > $1.packets[1].time }
        }

        func replay(_ port: UInt16, _ settings: String = "", _ options: [String] = []) throws -> CommandResult {
            try run(
                builtExecutable("spillway"),
                ["replay", "\(folder)/cache", "--to", "127.0.0.1:\(port)\(settings)", "--report", "\(folder)/report"]
                    + options, timeLimit: .seconds(60))
        }

        /// A number of the last report.
        func report(_ name: String) throws -> UInt64? {
            let text = String(decoding: try readFile("\(folder)/report"), as: UTF8.self)
            guard let range = text.firstRange(of: "\"\(name)\": ") else { return nil }
            return UInt64(text[range.upperBound...].prefix { $0.isNumber })
        }
    }

    @Test(
        "A collector gets each good batch once, newest first, as it is in the cache; a second time it has all of them")
    func acknowledged() throws {
        try withTemporaryDirectory { folder in
            let stock = try Stock(folder)
            let before = try stock.sample.names.map { try readFile("\(folder)/cache/\($0)") }
            let collector = try ReferenceCollector()
            defer { collector.stop() }
            let result = try stock.replay(collector.port, ",name=main")
            // One place is damaged.
            #expect(result.status == .exited(65), "\(result.errorText)")
            #expect(collector.state.violations.isEmpty, "\(collector.state.violations)")
            let found = collector.state.order.compactMap { collector.state.batches[$0] }
            #expect(
                found.flatMap(\.packets).map(BarePacket.init)
                    == stock.newestFirst.flatMap(\.packets).map(BarePacket.init))
            #expect(collector.state.order.map(\.number) == stock.newestFirst.map(\.number))
            #expect(collector.state.order.map(\.run) == stock.newestFirst.map(\.run.identity))
            #expect(collector.state.duplicates == 0 && collector.state.ends == 1)
            #expect(try stock.report("delivered") == 118 && stock.report("undelivered") == 0)
            #expect(try stock.report("damaged_places") == 1)
            let again = try stock.replay(collector.port, ",name=main")
            #expect(again.status == .exited(65) && collector.state.duplicates == 0)
            #expect(try stock.report("delivered") == 0 && stock.report("known") == 118)
            #expect(try stock.sample.names.map { try readFile("\(folder)/cache/\($0)") } == before)
            #expect(try Set(directoryEntries("\(folder)/cache")) == Set(stock.sample.names))
        }
    }

    @Test("After resets it goes on with what is missing", arguments: [true, false])
    func resets(forgets: Bool) throws {
        try withTemporaryDirectory { folder in
            let stock = try Stock(folder, count: 100, damaged: false)
            var manners = CollectorManners()
            manners.cutsReading = { $0 < 4 ? 3000 + 17_000 * $0 : nil }
            manners.forgets = forgets
            manners.acks = .shuffled(5)
            let collector = try ReferenceCollector(manners)
            defer { collector.stop() }
            let result = try stock.replay(collector.port, ",name=main,ack=required")
            #expect(result.status == .exited(0), "\(result.errorText)")
            let found = collector.state.packets.map(BarePacket.init)
            #expect(found.sorted() == stock.newestFirst.flatMap(\.packets).map(BarePacket.init).sorted())
            #expect(collector.state.connections == 5)
            #expect(try stock.report("delivered") == 200 && stock.report("reconnects") == 4)
        }
    }

    /// What may happen to a whole file.
    enum Ruin: CaseIterable {
        case emptied, halved, directory, bothEnds
    }

    @Test(
        "A ruined file is named, what is good of it and the others is sent, and the exit code is 65",
        arguments: Ruin.allCases)
    func ruined(_ ruin: Ruin) throws {
        try withTemporaryDirectory { folder in
            let stock = try Stock(folder, damaged: false)
            let name = stock.sample.names[2]
            let path = "\(folder)/cache/\(name)"
            var bytes = try readFile(path)
            switch ruin {
            case .emptied, .directory: bytes = []
            case .halved: bytes = Array(bytes[..<(bytes.count / 2)])
            case .bothEnds: for place in [40, bytes.count - 40] { bytes[place] ^= 1 }
            }
            try run("rm", [path]).checked()
            if ruin == .directory { try run("mkdir", [path]).checked() } else { try writeFile(path, bytes) }
            let reader = try PlainReader()
            defer { reader.stop() }
            let result = try stock.replay(reader.port, ",ack=none")
            #expect(result.status == .exited(65), "\(result.errorText)")
            let said = result.outputText + result.errorText
            #expect(said.contains("\(name): "), "\(said)")
            #expect(ruin == .directory || said.contains("at offset"), "\(said)")
            let deadline = ContinuousClock.now + .seconds(20)
            while reader.ended < 1, ContinuousClock.now < deadline { usleep(2000) }
            let arrived = try PlainPcapng(try #require(reader.streams.first)).packets.map(BarePacket.init)
            func packets(_ batches: [SampleBatch]) -> Set<BarePacket> {
                Set(batches.flatMap(\.packets).map(BarePacket.init))
            }
            let others = packets(stock.sample.files[0] + stock.sample.files[1])
            let whole = packets(stock.sample.files[2].filter { bytes.firstRange(of: $0.bytes) != nil })
            #expect(Set(arrived).count == arrived.count && others.isSubset(of: arrived))
            // Batches whose section does not check belong to nobody.
            if ruin == .bothEnds {
                #expect(others.union(whole).isSuperset(of: arrived))
            } else {
                #expect(others.union(whole) == Set(arrived))
            }
        }
    }

    @Test("A plain reader gets all of it in sections that tshark reads, newest first; a live cache as well, unchanged")
    func plain() throws {
        try withTemporaryDirectory { folder in
            let stock = try Stock(folder, damaged: false)
            let lock = try DirectoryLock(in: stock.sample.rig.directory, owner: "relay of the test")
            let reader = try PlainReader()
            defer { reader.stop() }
            let result = try stock.replay(reader.port, ",ack=none")
            #expect(result.status == .exited(0), "\(result.errorText)")
            #expect(result.errorText.contains("in use by relay of the test"))
            let deadline = ContinuousClock.now + .seconds(20)
            while reader.ended < 1, ContinuousClock.now < deadline { usleep(2000) }
            let stream = try #require(reader.streams.first)
            try writeFile("\(folder)/stream.pcapng", stream)
            // The stream has a section for each change of the run.
            var sections: [Int] = []
            for (place, batch) in stock.newestFirst.enumerated() {
                if place > 0, stock.newestFirst[place - 1].run == batch.run { continue }
                sections.append(batch.run.interfaces.count)
            }
            let found = try tsharkPackets("\(folder)/stream.pcapng", interfacesPerSection: sections)
            #expect(found.map(BarePacket.init) == stock.newestFirst.flatMap(\.packets).map(BarePacket.init))
            discard(lock)
        }
    }

    private func discard(_ lock: consuming DirectoryLock) {}

    @Test("pcapng files go to a plain reader byte by byte as they are; other files and damaged ones packet by packet")
    func files() throws {
        try withTemporaryDirectory { folder in
            let packets = (0..<300).map { sampleBytes(60 + $0 * 13 % 1400, seed: $0) }
            func pcapng(_ packets: ArraySlice<[UInt8]>) -> [UInt8] {
                var builder = PcapngBuilder()
                builder.section(.little)
                builder.interface(linkType: 1, resolution: 9)
                for (place, packet) in packets.enumerated() { builder.enhanced(0, units: UInt64(place + 1), packet) }
                return builder.built("part").bytes
            }
            let parts = [pcapng(packets[..<100]), pcapng(packets[100...])]
            for (place, part) in parts.enumerated() { try writeFile("\(folder)/\(place).pcapng", part) }
            try writeFile("\(folder)/cut.pcapng", Array(parts[1].dropLast(10)))
            try writeFile("\(folder)/c.pcap", PacketBuilder.pcapFile(packets, linkType: 1))
            func replay(_ files: [String]) throws -> (CommandResult, [UInt8]) {
                let reader = try PlainReader()
                defer { reader.stop() }
                let result = try run(
                    builtExecutable("spillway"),
                    ["replay"] + files.map { "\(folder)/\($0)" } + ["--to", "127.0.0.1:\(reader.port),ack=none"],
                    timeLimit: .seconds(60))
                let deadline = ContinuousClock.now + .seconds(20)
                while reader.ended < 1, ContinuousClock.now < deadline { usleep(2000) }
                return (result, reader.streams.first ?? [])
            }
            let (whole, bytes) = try replay(["0.pcapng", "1.pcapng"])
            #expect(whole.status == .exited(0), "\(whole.errorText)")
            #expect(bytes == parts[0] + parts[1])
            for (file, count, code) in [("c.pcap", 300, Int32(0)), ("cut.pcapng", 199, 65)] {
                let (result, bytes) = try replay([file])
                #expect(result.status == .exited(code), "\(result.errorText)")
                let found = try PlainPcapng(bytes).packets.map(\.bytes).sorted { $0.lexicographicallyPrecedes($1) }
                let wanted = (count == 300 ? packets[...] : packets[100..<299]).sorted {
                    $0.lexicographicallyPrecedes($1)
                }
                #expect(found == wanted)
            }
        }
    }

    @Test("Proofs: the right token lets batches through, a wrong or missing one does not")
    func tokens() throws {
        try withTemporaryDirectory { folder in
            let stock = try Stock(folder, count: 6, damaged: false)
            let token = sampleBytes(32, seed: 9)
            try writeFile("\(folder)/right", token)
            try writeFile("\(folder)/wrong", sampleBytes(32, seed: 10))
            for name in ["right", "wrong"] { #expect(unsafe chmod("\(folder)/\(name)", 0o600) == 0) }
            var manners = CollectorManners()
            manners.token = token
            let collector = try ReferenceCollector(manners)
            defer { collector.stop() }
            for options in [["--token-file", "\(folder)/wrong"], []] {
                let result = try stock.replay(collector.port, ",name=main", options + ["--drain-timeout", "1s"])
                #expect(result.status == .exited(69), "\(result.errorText)")
                #expect(collector.state.batches.isEmpty)
            }
            let result = try stock.replay(collector.port, ",name=main", ["--token-file", "\(folder)/right"])
            #expect(result.status == .exited(0), "\(result.errorText)")
            #expect(collector.state.batches.count == 6)
        }
    }

    @Test("Nobody there: 69 after the patience asked for; what cannot go together is refused")
    func errors() throws {
        try withTemporaryDirectory { folder in
            let stock = try Stock(folder, count: 6, damaged: false)
            let nobody = try stock.replay(1, "", ["--drain-timeout", "100ms"])
            #expect(nobody.status == .exited(69), "\(nobody.errorText)")
            #expect(try stock.report("undelivered") == 12)
            let cases: [([String], String)] = [
                (["--pace", "1Kpps"], "--pace"), (["--loop", "2"], "--loop"), (["-i", "lo"], "-i and --to"),
            ]
            for (options, word) in cases {
                let result = try stock.replay(1, "", options)
                #expect(result.status == .exited(64) && result.errorText.contains(word), "\(result.errorText)")
            }
            for settings in [",wire=pcap", ",order=oldest-first"] {
                #expect(try stock.replay(1, settings).status == .exited(64))
            }
        }
    }
}
