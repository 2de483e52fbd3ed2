import Machine
import Pcapng
import SpillCache
import TestSupport
import Testing

@Suite("Cache files as they are written")
struct WriterTests {
    static let first = SampleRun(seed: 1, interfaces: 2), second = SampleRun(seed: 2)

    @Test("What was appended is found again, in order, with its sections and its sums")
    func roundTrip() throws {
        try withTemporaryDirectory { folder in
            let rig = try CacheRig(folder)
            var writer = try rig.writer()
            let batches = (0..<40).map { CacheRig.batch($0, of: $0 % 10 < 5 ? Self.first : Self.second) }
            for batch in batches { try CacheRig.append([batch], to: &writer) }
            let (open, report) = try rig.scan(rig.plan().name.open)
            #expect(open == batches.map(\.bytes))
            #expect(report.damagedPlaces == 0 && report.tornBytes == 0 && report.footer == nil)
            #expect(report.contents.sections == 8 && report.header?.sensor == "sensor.a")
            try writer.seal()
            #expect(try directoryEntries(folder) == [rig.plan().name.sealed])
            let (sealed, after) = try rig.scan(rig.plan().name.sealed)
            #expect(sealed == open)
            let footer = try CacheReader.footer(rig.plan().name.sealed, in: rig.directory)
            #expect(after.footer == footer)
            let packets = batches.flatMap(\.packets)
            #expect(footer.summary.batches == 40 && footer.summary.packets == UInt64(packets.count))
            #expect(footer.summary.times.leastTime == packets.map(\.time).min())
            #expect(footer.summary.times.greatestTime == packets.map(\.time).max())
            #expect(footer.summary.window == CacheRig.window && footer.summary.run == CacheRig.owner)
            let numbers = Set(
                footer.ranges.flatMap { range in
                    (range.first..<range.first + range.count).map { [range.lane.run: $0] }
                })
            let expected = batches.map { [CacheRig.identity($0.run): $0.number] }
            #expect(numbers == Set(expected))
        }
    }

    @Test("The index names the first batch of each 64 KiB and the sums before it")
    func index() throws {
        try withTemporaryDirectory { folder in
            let rig = try CacheRig(folder)
            var writer = try rig.writer()
            var ends: [UInt64] = []
            let batches = (0..<60).map { CacheRig.batch($0, of: Self.second, packets: 4, length: 1500) }
            for batch in batches {
                try CacheRig.append([batch], to: &writer)
                ends.append(writer.end)
            }
            try writer.seal()
            let starts = zip(ends, batches).map { $0 - UInt64($1.bytes.count) }
            let footer = try CacheReader.footer(rig.plan().name.sealed, in: rig.directory)
            let steps = Set(starts.map { $0 / 65536 })
            #expect(footer.index.count == steps.count && steps.count > 4)
            for entry in footer.index {
                let place = try #require(starts.firstIndex(of: entry.offset))
                #expect(place == 0 || starts[place - 1] / 65536 < entry.offset / 65536)
                #expect(entry.batchesBefore == UInt32(place) && entry.packetsBefore == UInt64(place * 4))
                let members = zip(starts, batches).filter { $0.0 / 65536 == entry.offset / 65536 }.map(\.1)
                #expect(entry.packets == UInt32(members.count * 4))
                #expect(entry.times.leastTime == members.flatMap(\.packets).map(\.time).min())
                #expect(entry.times.greatestTime == members.flatMap(\.packets).map(\.time).max())
            }
        }
    }

    @Test("tshark, tcpdump and capinfos read a file that grows and a sealed one, and find every packet")
    func otherReaders() throws {
        for tool in ["tshark", "tcpdump", "capinfos"] { try requireTool(tool) }
        try withTemporaryDirectory { folder in
            let rig = try CacheRig(folder)
            var writer = try rig.writer()
            let batches = (0..<6).map { CacheRig.batch($0, of: $0 < 3 ? Self.first : Self.second) }
            for batch in batches { try CacheRig.append([batch], to: &writer) }
            try Self.check("\(folder)/\(rig.plan().name.open)", batches.flatMap(\.packets))
            try writer.seal()
            try Self.check("\(folder)/\(rig.plan().name.sealed)", batches.flatMap(\.packets))
        }
    }

    private static func check(_ path: String, _ packets: [SamplePacket]) throws {
        // tshark gives interfaces their place over all sections; the second run's only one is the third then.
        let found = try tsharkPackets(path, interfacesPerSection: [2, 1])
        #expect(found.map(\.bytes) == packets.map(\.bytes) && found.map(\.time) == packets.map(\.time))
        let count = try TestSupport.run("tcpdump", ["--count", "-r", path]).checked()
        #expect(count.outputText.hasPrefix("\(packets.count) packets"))
        let information = try TestSupport.run("capinfos", ["-M", "-c", path]).checked()
        #expect(information.outputText.contains("Number of packets:   \(packets.count)"))
        #expect(information.errors.isEmpty)
    }

    @Test("The file is as long as its last batch's end at every moment, though space is reserved")
    func reservation() throws {
        try withTemporaryDirectory { folder in
            let rig = try CacheRig(folder)
            var writer = try rig.writer()
            for number in 0..<20 {
                try CacheRig.append([CacheRig.batch(UInt64(number), of: Self.first, length: 3000)], to: &writer)
                #expect(try readFile("\(folder)/\(rig.plan().name.open)").count == Int(writer.end))
            }
            let name = rig.plan().name
            #expect(throws: SystemError.self) { _ = try CacheFileWriter(rig.plan(), in: rig.directory) }
            try writer.seal()
            var again = try CacheFileWriter(rig.plan(), in: rig.directory)
            try CacheRig.append([CacheRig.batch(1, of: Self.first)], to: &again)
            let before = try readFile("\(folder)/\(name.sealed)")
            #expect(throws: SystemError.self) { try again.seal() }
            #expect(try readFile("\(folder)/\(name.sealed)") == before)
        }
    }

    @Test("One owner: a second one is told who the first is")
    func lock() throws {
        try withTemporaryDirectory { folder in
            let directory = try DirectoryHandle(folder, creating: false)
            do {
                let first = try DirectoryLock(in: directory, owner: "spillway test")
                do {
                    _ = try DirectoryLock(in: directory, owner: "another")
                    Issue.record("two owners")
                } catch CacheError.inUse(let path, let owner) {
                    #expect(path == folder && owner.contains("spillway test"))
                }
                _ = consume first
            }
            _ = try DirectoryLock(in: directory, owner: "another")
        }
    }

    @Test("Names are taken apart as they were put together, and nothing else is taken for one")
    func names() throws {
        for start in [0, 951_782_400, 1_709_164_799, 4_102_444_800, 18_446_744_073] as [UInt64] {
            let name = CacheFileName(start: start * 1_000_000_000, run: CacheRig.owner, number: start)
            #expect(CacheFileName(parsing: name.sealed) == name && CacheFileName(parsing: name.open) == name)
            let words = ["-u", "-d", "@\(start)", "+%Y%m%dT%H%M%SZ"]
            let text = try TestSupport.run("date", words).checked().outputLines[0]
            #expect(name.sealed.hasPrefix(text + "-efcdab8967452301" + "1032547698badcfe-"))
        }
        let good = CacheFileName(start: 0, run: CacheRig.owner, number: 5).sealed
        for bad in [
            "", "x" + good, good + ".tmp", good.replacing("-5.", with: "-05."), good.replacing("-5.", with: "-+5."),
        ]
            + [good.replacing("19700101", with: "19700132"), good.replacing("19700101", with: "19700231")]
        {
            #expect(CacheFileName(parsing: bad) == nil, "\(bad)")
        }
    }
}
