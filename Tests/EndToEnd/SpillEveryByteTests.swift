import Glibc
import TestSupport
import Testing

/// A cache of many small files that are alike; each is damaged at another place, and one relay is to send them all.
@Suite("Every byte of a cache file damaged in turn, on a relay's own road", .serialized)
struct SpillEveryByteTests {
    /// What is done to the n-th file at its n-th byte.
    enum Harm: CaseIterable, Sendable { case flipped, cut }

    /// Files, and packets of each, which are batches of their own.
    private static let files = 1000, each = 2

    /// The packets of so many files, and more of them in a few files of their own: what came before those leaves memory,
    /// and its files are sealed.
    private func packets(files: Int) -> [Packet] {
        (0..<files * Self.each + 4000).map { number in
            let isSmall = number < files * Self.each
            let frame = numberedFrame(number, size: isSmall ? 60 : 1400)
            // A file holds the packets of ten minutes.
            let window = UInt64(isSmall ? number / Self.each : files + (number - files * Self.each) / 500)
            return Packet(
                time: 1_700_000_400_000_000_000 + window * 1_200_000_000_000 + UInt64(number % 500) * 1000,
                original: UInt32(frame.count), bytes: frame)
        }
    }

    /// A relay that has put these packets on disk and waits for a destination at this port, and for more input.
    private func fill(_ cache: String, _ packets: [Packet], files: Int, port: UInt16, patience: String) throws
        -> RunningRelay
    {
        let running = try RunningRelay([
            "-r", "-", "--batch-packets", "1", "--name", "s", "--to", "127.0.0.1:\(port),name=it", "--spill", cache,
            "--sync", "none", "--memory-age", "1ms", "--drain-timeout", patience,
        ])
        try running.child.writeInput(captureFile(packets))
        try waitUntil("the files to be sealed, and what is owed of them written down") {
            usleep(20_000)
            let names = (try? directoryEntries(cache)) ?? []
            return names.count { $0.hasSuffix(".pcapng") } >= files && names.count { $0.hasSuffix(".owed") } >= files
        }
        return running
    }

    /// How a file is made up, by the test's own reading.
    private struct Layout {
        let bytes: Int
        /// Where batches lie, and where the footer begins; the end of the file if it has none.
        var batches: [Range<Int>] = []
        let footer: Int

        init(_ file: [UInt8]) {
            var (offset, start, footer) = (0, 0, file.count)
            while offset + 12 <= file.count {
                let (type, length) = (file.word(offset), Int(file.word(offset + 4)))
                if type == 6, start == 0 { start = offset }
                if type == 0x8053_5046 { footer = offset }
                offset += length
                if type == 0x8053_5054 { (batches, start) = (batches + [start..<offset], 0) }
            }
            (bytes, self.footer) = (file.count, footer)
        }

        var head: Range<Int> { 0..<batches[0].lowerBound }

        /// Which batches are gone when this was done at an offset, the rest of the file being understood.
        func hit(_ harm: Harm, _ offset: Int) -> [Int] {
            batches.indices.filter { harm == .cut ? batches[$0].upperBound > offset : batches[$0].contains(offset) }
        }
    }

    /// Does it where the file lies: whoever has it open sees it.
    private func damage(_ path: String, _ harm: Harm, _ offset: Int) throws {
        let file = unsafe open(path, O_RDWR | O_CLOEXEC)
        try #require(file >= 0)
        defer { close(file) }
        if harm == .cut {
            try #require(ftruncate(file, offset) == 0)
            return
        }
        var byte: UInt8 = 0
        try #require(unsafe pread(file, &byte, 1, offset) == 1)
        byte ^= 1 << UInt8(offset % 8)
        try #require(unsafe pwrite(file, &byte, 1, offset) == 1)
    }

    /// The numbers a reader got: each once, each with the bytes it was captured with.
    private func intact(_ reader: Reader, of all: [Packet]) throws -> Set<Int> {
        let found = try sections(reader.streams[0]).flatMap(\.packets)
        let numbers = found.map { number(of: $0) }
        #expect(Set(numbers).count == numbers.count, "something came twice")
        let wrong = zip(numbers, found).filter { $0.0 < all.count && all[$0.0] != $0.1 }
        #expect(wrong.isEmpty, "sent though damaged: \(wrong.map(\.0))")
        return Set(numbers)
    }

    @Test(
        "Files of an earlier run: what is hit is counted and never sent, all else arrives once",
        arguments: Harm.allCases)
    func earlier(_ harm: Harm) throws {
        try withTemporaryDirectory { folder in
            let (cache, all) = ("\(folder)/cache", packets(files: Self.files))
            try writeFile("\(folder)/new", captureFile(numberedPackets(30_000..<30_010)))
            let first = try fill(cache, all, files: Self.files, port: 9, patience: "300ms")
            first.child.closeInput()
            try first.finish().expect(exits: 69)
            let names = Array(try cacheFiles(cache).prefix(Self.files))
            try #require(names.allSatisfy { $0.hasSuffix(".pcapng") })
            let layout = Layout(try readFile("\(cache)/\(names[0])"))
            try #require(layout.batches.count == Self.each && layout.bytes <= Self.files)
            var damaged: [[UInt8]] = []
            for offset in 0..<layout.bytes {
                try damage("\(cache)/\(names[offset])", harm, offset)
                damaged.append(try readFile("\(cache)/\(names[offset])"))
            }
            let reader = try Reader()
            let result = try relay([
                "-r", "\(folder)/new", "--to", "\(reader.address),name=it", "--spill", cache, "--sync", "none",
            ])
            result.expect(exits: 0)
            try reader.waitForEnd()
            let found = try intact(reader, of: all)
            #expect(
                found.isSuperset(of: 30_000..<30_010) && found.isSubset(of: Set(all.indices).union(30_000..<30_010)))
            // What was set aside, byte for byte.
            let aside = (try? directoryEntries("\(cache)/damaged")) ?? []
            let kept = Set(try aside.map { try readFile("\(cache)/damaged/\($0)") })
            var (missing, heads) = (Set(all.indices).subtracting(found), 0)
            for (offset, bytes) in damaged.enumerated() {
                let numbers = (0..<Self.each).map { offset * Self.each + $0 }
                let lost = (0..<Self.each).filter { missing.remove(numbers[$0]) != nil }
                if harm == .flipped, layout.head.contains(offset) {
                    // The head says what all of a file is: without it nothing can be sent, and the file is kept as it is.
                    #expect(lost.count == Self.each && kept.contains(bytes), "byte \(offset)")
                    heads += 1
                } else {
                    #expect(lost == layout.hit(harm, offset), "\(harm) at \(offset)")
                }
            }
            #expect(missing.isEmpty && (harm == .cut || heads == layout.head.count))
            let it = try expectLedger(result).destination("it")
            #expect(it.losses == ["cache_damage": UInt64(all.count + 10 - found.count)])
            #expect(try it.count("on_disk") == 0 && cacheFiles(cache).isEmpty)
        }
    }

    @Test(
        "Files of the present run, changed behind its back: what is hit is counted and never sent, all else arrives once",
        arguments: Harm.allCases)
    func present(_ harm: Harm) throws {
        try withTemporaryDirectory { folder in
            let (cache, all, port) = ("\(folder)/cache", packets(files: Self.files), try freePort())
            let running = try fill(cache, all, files: Self.files, port: port, patience: "60s")
            // Only files that are being written or will be sent soon are open, each twice at most.
            try waitUntil("closed files to give back their descriptors") {
                let open = try run("ls", ["-l", "/proc/\(running.child.identifier)/fd"]).outputLines
                return open.count { $0.contains(".pcapng") } <= 20
            }
            let names = try cacheFiles(cache)
            let layout = Layout(try readFile("\(cache)/\(names[0])"))
            try #require(layout.batches.count == Self.each && layout.bytes <= Self.files)
            for offset in 0..<layout.bytes { try damage("\(cache)/\(names[offset])", harm, offset) }
            let reader = try Reader(port: port)
            running.child.closeInput()
            let result = try running.finish()
            result.expect(exits: 0)
            try reader.waitForEnd()
            let found = try intact(reader, of: all)
            let hit = (0..<layout.bytes).flatMap { offset in
                layout.hit(harm, offset).map { offset * Self.each + $0 }
            }
            #expect(found == Set(all.indices).subtracting(hit))
            let it = try expectLedger(result, captured: all.count, encoded: all.count).destination("it")
            #expect(it.losses == ["cache_damage": UInt64(hit.count)])
            #expect(try it.count("on_disk") == 0 && cacheFiles(cache).isEmpty)
        }
    }
}
