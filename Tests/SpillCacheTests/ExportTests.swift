import Glibc
import Machine
import SpillCache
import TestSupport
import Testing

@Suite("A cache as one file in time order")
struct ExportTests {
    static let runs = [SampleRun(seed: 31, interfaces: 2), SampleRun(seed: 32, interfaces: 1)]

    /// How times of packets are spread over the batches of a cache.
    enum Spread: String, CaseIterable, Sendable {
        case inOrder, nearlyInOrder, reversed, anyhow, equal

        func time(_ place: UInt64, _ count: UInt64, _ random: inout SystemRandomNumberGenerator) -> UInt64 {
            switch self {
            case .inOrder: place * 1000
            case .nearlyInOrder: place * 1000 + UInt64.random(in: 0..<20_000, using: &random)
            case .reversed: (count - place) * 1000
            case .anyhow: UInt64.random(in: 0..<1 << 40, using: &random)
            case .equal: 5
            }
        }
    }

    private func export(
        _ sample: CacheSample, _ folder: String, memory: Int
    ) throws -> (file: PlainPcapng, report: CacheExportReport) {
        let survey = try CacheSurvey(sample.rig.directory, depth: .footers)
        let report = try CacheExport.run(
            survey, in: sample.rig.directory, to: "\(folder)/out.pcapng", application: "test", memory: memory)
        #expect(try directoryEntries(folder).filter { $0.hasPrefix("out") } == ["out.pcapng"])
        return (try PlainPcapng(readFile("\(folder)/out.pcapng")), report)
    }

    /// The packets in the order in which they must come: by time; equal times as their files, batches and records do.
    private func expected(_ sample: CacheSample) -> [BarePacket] {
        let files = sample.files.enumerated().filter { !$0.element.isEmpty }.sorted {
            func key(_ file: (offset: Int, element: [SampleBatch])) -> (UInt64, String) {
                (file.element.flatMap(\.packets).map(\.time).min()!, sample.names[file.offset])
            }
            return key($0) < key($1)
        }
        let packets = files.flatMap { $0.element.flatMap(\.packets) }
        let order = packets.indices.sorted { (packets[$0].time, $0) < (packets[$1].time, $1) }
        return order.map { BarePacket(packets[$0]) }
    }

    @Test(
        "Any order, any memory: every packet once, by time, equal times in the order of the cache",
        arguments: Spread.allCases)
    func order(spread: Spread) throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            var random = SystemRandomNumberGenerator()
            let count: UInt64 = 2400
            var numbers: [UInt64] = [0, 0]
            var batches: [[SampleBatch]] = (0..<6).map { _ in [] }
            for place in stride(from: 0, to: count, by: 4) {
                let run = Int(place / 4 % 2)
                let times = (0..<4).map { spread.time(place + $0, count, &random) }
                batches[Int(place * 6 / count)].append(
                    CacheSample.batch(times, run: Self.runs[run], number: numbers[run]))
                numbers[run] += 1
            }
            let sample = try CacheSample("\(folder)/cache", batches, open: [5])
            let wanted = expected(sample)
            // From all in memory to hundreds of runs, which are merged in three levels.
            for memory in [1 << 20, 100_000, 20_000, 600] {
                let (file, report) = try export(sample, folder, memory: memory)
                #expect(file.packets.map(BarePacket.init) == wanted, "\(spread) with \(memory) bytes")
                #expect(report.packets == count && report.batches == count / 4 && report.repeated == 0)
                switch (spread, memory) {
                // What comes nearly in order goes out as it comes; a footer knows times by steps of 64 KiB.
                case (_, 1 << 20), (.inOrder, 100_000), (.nearlyInOrder, 100_000): #expect(report.runs == 0)
                case (.reversed, 600), (.anyhow, 600): #expect(report.runs > 256)
                default: break
                }
            }
        }
    }

    @Test("Each packet keeps its interface, statistics count what is there, and tshark and capinfos read it")
    func interfaces() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            var other = SampleRun(seed: 33, interfaces: 0)
            other.add(interface: "eth1")
            other.add(interface: "wlan0")
            let batches = [
                [
                    CacheSample.batch([1, 20, 30], run: Self.runs[0], number: 0),
                    CacheSample.batch([2, 10], run: other, number: 0),
                ]
            ]
            let sample = try CacheSample("\(folder)/cache", batches)
            let (file, report) = try export(sample, folder, memory: 1 << 16)
            #expect(Set(file.interfaces) == ["eth0", "eth1", "wlan0"] && file.interfaces.count == 3)
            let names = [["eth0", "eth1"], ["eth1", "wlan0"]]
            let wanted = zip(batches[0], names).flatMap { batch, names in
                batch.packets.map { (BarePacket($0), names[Int($0.interface)]) }
            }
            for (packet, name) in wanted {
                let found = file.packets.filter { BarePacket($0) == packet }
                #expect(found.map { file.interfaces[Int($0.interface)] } == [name])
            }
            for (place, name) in file.interfaces.enumerated() {
                let count = wanted.filter { $0.1 == name }.count
                let told = file.statistics.filter { $0.interface == UInt32(place) }.compactMap { $0.options[8] }
                #expect(told == [UInt64(count)], "\(name)")
            }
            #expect(report.linkTypes == [1])
            try requireTool("capinfos")
            let path = "\(folder)/out.pcapng"
            let info = try run("capinfos", ["-M", "-c", "-o", path]).checked().outputText
            #expect(info.contains("Number of packets:   5") && info.contains("Strict time order:   True"))
            let found = try tsharkPackets(path, interfacesPerSection: [3]).map(BarePacket.init)
            #expect(found == expected(sample))
        }
    }

    @Test("A footer that promises later packets than there are does not spoil the order")
    func brokenPromise() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            func batch(_ file: UInt64, _ number: UInt64) -> SampleBatch {
                let times = (0..<4 as Range<UInt64>).map { (number * 4 + $0) * 100 + file }
                return CacheSample.batch(times, run: Self.runs[0], number: file * 40 + number)
            }
            let batches = (0..<3 as Range<UInt64>).map { file in (0..<40 as Range<UInt64>).map { batch(file, $0) } }
            let sample = try CacheSample("\(folder)/cache", batches)
            let path = "\(folder)/cache/\(sample.names[1])"
            let forged = FooterForgery.changed(try readFile(path)) { lists, summary in
                lists.add(8 + 24, 1 << 30)
                summary.add(64, 1 << 30)
            }
            try writeFile(path, forged)
            let (file, report) = try export(sample, folder, memory: 3000)
            #expect(file.packets.map(BarePacket.init).sorted() == sample.packets.map(BarePacket.init).sorted())
            #expect(zip(file.packets, file.packets.dropFirst()).allSatisfy { $0.time <= $1.time })
            #expect(report.packets == 480)
        }
    }

    @Test("What is missing of a sealed file, at its end or all, is counted as damage; the end of an open one is not")
    func cut() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let batches = (0..<4 as Range<UInt64>).map { file in
                (0..<3 as Range<UInt64>).map {
                    CacheSample.batch([file * 9 + $0 * 3], run: Self.runs[0], number: file * 3 + $0)
                }
            }
            let sample = try CacheSample("\(folder)/cache", batches, open: [3])
            let whole = try export(sample, folder, memory: 1 << 16).report
            #expect(whole.damagedPlaces == 0 && whole.packets == 12)
            // One within its last batch, one before its footer, one empty, and the one that grows within its last batch.
            let cuts: [(drop: (Int) -> Int, packets: UInt64, places: Int)] = [
                ({ $0 - 300 }, 11, 1), ({ $0 - 20 }, 12, 1), ({ _ in 0 }, 9, 1), ({ $0 - 30 }, 11, 0),
            ]
            for (place, cut) in cuts.enumerated() {
                let path = "\(folder)/cache/\(sample.names[place])"
                let before = try readFile(path)
                try writeFile(path, Array(before.prefix(cut.drop(before.count))))
                let report = try export(sample, folder, memory: 1 << 16).report
                #expect(report.packets == cut.packets && report.damagedPlaces == cut.places, "file \(place)")
                #expect(report.damagedBytes > 0 || cut.places == 0 || place == 2)
                try writeFile(path, before)
            }
        }
    }

    @Test("Batches that are in two files are there once; those of a thousand files are all there")
    func thousandFiles() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let twice = CacheSample.batch([30, 150], run: Self.runs[1], number: 0)
            let batches = (0..<1000 as Range<UInt64>).map { file in
                let one = CacheSample.batch([file * 50, file * 50 + 120], run: Self.runs[0], number: file)
                return file == 700 || file == 900 ? [one, twice] : [one]
            }
            let sample = try CacheSample("\(folder)/cache", batches)
            let (file, report) = try export(sample, folder, memory: 4000)
            let wanted = Set(sample.packets.map(BarePacket.init))
            #expect(file.packets.count == wanted.count && Set(file.packets.map(BarePacket.init)) == wanted)
            #expect(zip(file.packets, file.packets.dropFirst()).allSatisfy { $0.time <= $1.time })
            #expect((report.repeated, report.batches) == (1, 1001))
        }
    }

    @Test("In the cache's own directory nothing is replaced, by whichever path it is named")
    func ontoItself() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let sample = try CacheSample("\(folder)/cache", [[CacheSample.batch([3], run: Self.runs[0], number: 0)]])
            try writeFile("\(folder)/cache/lock", [1])
            try TestSupport.run("ln", ["-s", "\(folder)/cache", "\(folder)/link"]).checked()
            let before = try readFile("\(folder)/cache/\(sample.names[0])")
            for name in [sample.names[0], "lock", sample.names[0] + ".open"] {
                for path in ["\(folder)/cache/\(name)", "\(folder)/link/\(name)"] {
                    let survey = try CacheSurvey(sample.rig.directory, depth: .footers)
                    let error = try #require(throws: SystemError.self) {
                        try CacheExport.run(survey, in: sample.rig.directory, to: path, application: "test")
                    }
                    #expect(error.code == EEXIST && error.description.contains("/\(name): "))
                }
            }
            #expect(try readFile("\(folder)/cache/\(sample.names[0])") == before)
            #expect(try readFile("\(folder)/cache/lock") == [1])
            #expect(try directoryEntries("\(folder)/cache").sorted() == ([sample.names[0], "lock"]).sorted())
        }
    }

    @Test("A full disk is an error; what had the name stays, nothing else is left, and it works when there is room")
    func fullDisk() throws {
        try requireRoot()
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let batches = (0..<100).map {
                CacheSample.batch([UInt64(100 - $0)], run: Self.runs[0], number: UInt64($0), length: 1400)
            }
            let sample = try CacheSample("\(folder)/cache", [batches])
            try writeFile("\(folder)/target", [])
            let disk = "\(folder)/disk"
            try #require(unsafe mkdir(disk, 0o755) == 0)
            try TestSupport.run("mount", ["-t", "tmpfs", "-o", "size=400k", "none", disk]).checked()
            defer { _ = try? TestSupport.run("umount", ["-l", disk]) }
            let survey = try CacheSurvey(sample.rig.directory, depth: .footers)
            for (ballast, memory) in [(350 << 10, 1 << 20), (200 << 10, 4000), (300 << 10, 50_000)] {
                try writeFile("\(disk)/old.pcapng", [1, 2, 3])
                try writeFile("\(disk)/ballast", [UInt8](repeating: 1, count: ballast))
                #expect {
                    try CacheExport.run(
                        survey, in: sample.rig.directory, to: "\(disk)/old.pcapng", application: "test",
                        memory: memory)
                } throws: {
                    ($0 as? SystemError)?.code == ENOSPC
                }
                #expect(try directoryEntries(disk) == ["ballast", "old.pcapng"])
                #expect(try readFile("\(disk)/old.pcapng") == [1, 2, 3])
                unsafe #expect(unlink("\(disk)/ballast") == 0)
                _ = try CacheExport.run(
                    survey, in: sample.rig.directory, to: "\(disk)/old.pcapng", application: "test", memory: 1 << 20)
                let file = try PlainPcapng(readFile("\(disk)/old.pcapng"))
                #expect(file.packets.map(BarePacket.init) == expected(sample))
            }
        }
    }
}
