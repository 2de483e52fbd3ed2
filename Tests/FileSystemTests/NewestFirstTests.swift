import Glibc
import SpillCache
import TestSupport
import Testing

@Suite("A Spillway cache: live, and backwards in time", .timeLimit(.minutes(5)))
struct NewestFirstTests {
    private let prefix = "direction=newest-first"

    /// What a stream must hold: all batches, the one that arrived last first.
    private func expect(
        _ bytes: [UInt8], _ batches: [SampleBatch], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let found = try batchesIn(bytes)
        #expect(found.rest == 0, sourceLocation: sourceLocation)
        let numbers = try found.batches.map { try ParsedBatch($0).number }
        #expect(numbers == batches.map(\.number), sourceLocation: sourceLocation)
        let isSame = found.batches == batches.map(\.bytes)
        #expect(isSame, sourceLocation: sourceLocation)
    }

    private func byArrival(_ batches: [SampleBatch]) throws -> [SampleBatch] {
        let arrivals = try batches.map { try ParsedBatch($0.bytes).lastArrival }
        return zip(arrivals, batches).sorted { ($0.0, $0.1.number) > ($1.0, $1.1.number) }.map(\.1)
    }

    @Test("A closed range reads backwards in time, batch by batch over all files; any offset can be read again")
    func closed() throws {
        let (one, two) = (SampleRun(seed: 1, interfaces: 2), SampleRun(seed: 2))
        var all: [SampleBatch] = []
        var names: [String] = []
        let mounted = try Mounted { source in
            // Three files whose arrivals interleave; the last one holds batches of two runs and is still open.
            let files = try (0..<3).map { try GrowingCacheFile(UInt64($0), in: source) }
            for step in 0..<30 {
                let worker = UInt16(step % 2)
                let run = step >= 20 && step % 3 == 2 ? two : one
                // Two arrive at the same time; there the number decides.
                let arrival = UInt64((step == 28 ? 27 : step) * 7 % 31)
                let batch = cacheBatch(UInt64(step), of: run, arrival: arrival, worker: worker)
                try files[step % 3].append(batch)
                all.append(batch)
            }
            try files[0].seal()
            try files[1].seal()
            names = [files[0].name.sealed, files[1].name.sealed, files[2].name.open]
        }
        let range = "\(prefix)/\(names[0])..\(names[2])"
        let bytes = try mounted.cat(range)
        try expect(bytes, try byArrival(all))
        // tcpdump counts records by itself.
        let count = try run("tcpdump", ["--count", "-r", mounted.path(range)]).checked().outputText
        #expect(count.hasPrefix("\(all.count * 4) packets"))

        let file = unsafe open(mounted.path(range), O_RDONLY)
        defer { close(file) }
        #expect(try readAll(file) == bytes)
        var buffer = [UInt8](repeating: 0, count: 777)
        for offset in stride(from: bytes.count - 1, to: 0, by: -1313) {
            let got = unsafe buffer.withUnsafeMutableBytes { unsafe pread(file, $0.baseAddress, 777, off_t(offset)) }
            #expect(Array(buffer.prefix(max(0, got))) == Array(bytes[offset...].prefix(777)))
        }
        // Part of the files only.
        let part = try mounted.cat("\(prefix)/\(names[1])..\(names[1])")
        try expect(part, try byArrival(stride(from: 1, to: 30, by: 3).map { all[$0] }))
    }

    @Test("A live stream gives the newest first, then what arrives, also in new files and over a sealing")
    func live() throws {
        var run = SampleRun(seed: 3)
        let mounted = try Mounted()
        let first = try GrowingCacheFile(0, in: mounted.source)
        var all: [SampleBatch] = []
        for step in 0..<5 {
            all.append(cacheBatch(UInt64(step), of: run, arrival: UInt64(step)))
            try first.append(all[step])
        }
        let reader = try mounted.reader("\(prefix)/\(first.name.open)")
        var expected = Array(all.reversed())
        func waitForAll() throws {
            for _ in 0..<20_000 {
                if let found = try? batchesIn(reader.bytes), found.batches.count >= expected.count { break }
                usleep(1000)
            }
            try expect(reader.bytes, expected)
        }
        try waitForAll()
        for step in 5..<12 {
            // A new interface, a sealed file, and a new one on the way.
            if step == 7 { run.add(interface: "late") }
            if step == 9 { try first.seal() }
            let batch = cacheBatch(UInt64(step), of: run, arrival: UInt64(step), packets: 6)
            if step < 9 {
                try first.append(batch)
            } else {
                let next = try GrowingCacheFile(UInt64(step), in: mounted.source)
                try next.append(batch)
                if step == 10 { try next.seal() }
            }
            expected.append(batch)
            try waitForAll()
        }
        #expect(reader.isRunning())
        let status = String(decoding: try readFile(mounted.path(".status")), as: UTF8.self)
        #expect(status.contains("newest first: pid \(reader.identifier), waiting"))
        #expect(status.contains("12 batches given"))
    }

    @Test("Half a batch is not given; a damaged one is left out and told; lengths that make no sense are passed over")
    func damage() throws {
        let run = SampleRun(seed: 4)
        let batches = (0..<12).map { cacheBatch(UInt64($0), of: run, arrival: UInt64($0)) }
        var name = ""
        let mounted = try Mounted { source in
            let file = try GrowingCacheFile(0, in: source)
            for batch in batches { try file.append(batch) }
            name = file.name.open
        }
        var bytes = try readFile("\(mounted.source)/\(name)")
        func place(_ number: Int) throws -> Int {
            let wanted = batches[number].bytes
            let places = 0..<bytes.count - wanted.count
            return try #require(places.first { bytes[$0..<$0 + 40].elementsEqual(wanted.prefix(40)) })
        }
        // One packet byte, one block length, and the end of the last batch.
        bytes[try place(3) + 40] ^= 1
        bytes[try place(8) + 5] = 0xFF
        let half = Array(bytes.dropLast(50))
        try writeFile("\(mounted.source)/\(name)", half)
        let expected = [10, 9, 7, 6, 5, 4, 2, 1, 0].map { batches[$0] }
        try expect(try mounted.cat("\(prefix)/\(name)..\(name)"), expected)
        try mounted.waitForLog("damaged")
    }

    @Test("What cannot be read backwards is EINVAL, with the reason in the log; other files in a range are passed over")
    func refusals() throws {
        let run = SampleRun(seed: 5)
        let batch = cacheBatch(0, of: run, arrival: 0)
        var name = ""
        let mounted = try Mounted { source in
            try writeFile("\(source)/0.pcap", capture(0..<3))
            let file = try GrowingCacheFile(0, in: source)
            try file.append(batch)
            try file.seal()
            name = file.name.sealed
            try writeFile("\(source)/z.pcap", capture(0..<3))
        }
        func open(_ path: String) -> Int32 {
            mounted.errnoOf(path) { path in
                let file = unsafe Glibc.open(path, O_RDONLY)
                if file >= 0 { close(file) }
                return file
            }
        }
        #expect(open("\(prefix)/0.pcap") == EINVAL)
        try mounted.waitForLog("reads files of a Spillway cache only")
        #expect(open("clustersize=2/\(prefix)/\(name)") == EINVAL)
        try mounted.waitForLog("a cluster cannot read newest first")
        #expect(open("direction=backwards/\(name)") == ENOENT)
        try expect(try mounted.cat("\(prefix)/\(name)..z.pcap"), [batch])
        try mounted.waitForLog("z.pcap: passed over")
        #expect(try mounted.size("\(prefix)/\(name)..z.pcap") == 512 << 40)
    }

    @Test("Forwards a live cache is shown up to its last batch, over sealing and into the next file")
    func forwards() throws {
        let run = SampleRun(seed: 6)
        let mounted = try Mounted("settle=50ms")
        let first = try GrowingCacheFile(0, in: mounted.source)
        var all: [SampleBatch] = []
        func append(_ file: GrowingCacheFile) throws {
            all.append(cacheBatch(UInt64(all.count), of: run, arrival: UInt64(all.count)))
            try file.append(all[all.count - 1])
        }
        for _ in 0..<3 { try append(first) }
        let reader = try mounted.reader(first.name.open)
        func waitForAll() throws {
            for _ in 0..<20_000 {
                let bytes = reader.bytes
                if let last = all.last?.bytes, bytes.count > last.count, try records(bytes) == records(all) { break }
                usleep(1000)
            }
            #expect(try records(reader.bytes) == records(all))
        }
        try waitForAll()
        try append(first)
        try waitForAll()
        try first.seal()
        let second = try GrowingCacheFile(1, in: mounted.source)
        try append(second)
        try waitForAll()
        try append(second)
        try waitForAll()
    }

    /// The packets of whole records in pcapng bytes, by walking over blocks.
    private func records(_ bytes: [UInt8]) throws -> [[UInt8]] {
        var (offset, found) = (0, [[UInt8]]())
        func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
        while offset + 12 <= bytes.count, offset + word(offset + 4) <= bytes.count, word(offset + 4) >= 12 {
            let length = word(offset + 4)
            if word(offset) == 6 { found.append(Array(bytes[offset..<offset + length])) }
            offset += length
        }
        return found
    }

    private func records(_ batches: [SampleBatch]) throws -> [[UInt8]] {
        batches.flatMap { $0.packets.map(SampleBatch.record) }
    }
}
