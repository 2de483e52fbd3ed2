import Glibc
import TestSupport
import Testing

@Suite("F, G and L: following files while they are written", .timeLimit(.minutes(5)))
struct LiveTests {
    /// A reader of a live stream has got this, and waits for more.
    private func expect(
        _ reader: LiveReader, hasGot bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try reader.waitFor(bytes.count)
        expectSame(reader.bytes, bytes, sourceLocation: sourceLocation)
        #expect(reader.isRunning(), sourceLocation: sourceLocation)
    }

    @Test("G2: bytes come as they are written, also half a packet", arguments: ["follow=auto", "follow=poll"])
    func growth(follow: String) throws {
        let file = capture(0..<40)
        let mounted = try Mounted(follow) { try writeFile("\($0)/a", Array(file.prefix(24))) }
        let reader = try mounted.reader("a")
        var end = 24
        for step in [1, 3, 16, 50, 7, 400, 16, 1000] {
            try mounted.add("a", Array(file[end..<end + step]))
            end += step
            try expect(reader, hasGot: Array(file.prefix(end)))
        }
    }

    @Test(
        "G3: at the end of a file the next one goes on, also one that is made later",
        arguments: ["follow=auto", "follow=poll"])
    func rotation(follow: String) throws {
        let mounted = try Mounted(follow) { try writeFile("\($0)/cap8", capture(0..<5)) }
        let reader = try mounted.reader("cap8")
        var expected = capture(0..<5)
        for (index, name) in ["cap9", "cap10", "cap11"].enumerated() {
            try expect(reader, hasGot: expected)
            let file = capture(5 + index..<9 + index)
            // The header and the packets of the new file come in pieces.
            for piece in [0..<10, 10..<24, 24..<60, 60..<file.count] { try mounted.add(name, Array(file[piece])) }
            expected += file.dropFirst(24)
        }
        try expect(reader, hasGot: expected)
    }

    @Test("Rotation without a lost byte: what is written to the old file after the new one exists comes first (G3, L8)")
    func lateBytes() throws {
        let mounted = try Mounted("settle=1m") { try writeFile("\($0)/a", capture(0..<5)) }
        let writer = unsafe open("\(mounted.source)/a", O_WRONLY | O_APPEND)
        let reader = try mounted.reader("a")
        try expect(reader, hasGot: capture(0..<5))
        try mounted.put("b", capture(9..<12))
        // The old file is still open for writing, so the new one has to wait.
        let late = Array(capture(5..<9).dropFirst(24))
        _ = unsafe late.withUnsafeBytes { unsafe write(writer, $0.baseAddress, $0.count) }
        try expect(reader, hasGot: capture(0..<5) + late)
        close(writer)
        try expect(reader, hasGot: joinedCaptures(capture(0..<5), capture(5..<9), capture(9..<12)))
    }

    @Test("A file that stays open but quiet does not hold up what follows for ever")
    func quietWriter() throws {
        let mounted = try Mounted("settle=50ms") { try writeFile("\($0)/a", capture(0..<5)) }
        let writer = unsafe open("\(mounted.source)/a", O_WRONLY | O_APPEND)
        defer { close(writer) }
        try mounted.put("b", capture(5..<7))
        try expect(mounted.reader("a"), hasGot: joinedCaptures(capture(0..<5), capture(5..<7)))
        try mounted.waitForLog("still open for writing but quiet")
    }

    @Test("G4: readers of one name at once have each their own place")
    func independence() throws {
        let file = capture(0..<50)
        let mounted = try Mounted { try writeFile("\($0)/a", file) }
        let readers = try (0..<4).map { _ in try mounted.reader("a") }
        try mounted.add("a", Array(capture(50..<60).dropFirst(24)))
        let late = try mounted.reader("a")
        for reader in readers + [late] { try expect(reader, hasGot: capture(0..<60)) }
    }

    @Test("L1 and L7: a file that is deleted or renamed while it is read is read to its end")
    func deletedWhileRead() throws {
        let mounted = try Mounted { try writeFile("\($0)/a", capture(0..<5)) }
        let writer = unsafe open("\(mounted.source)/a", O_WRONLY | O_APPEND)
        let reader = try mounted.reader("a")
        try expect(reader, hasGot: capture(0..<5))
        #expect(unsafe unlink("\(mounted.source)/a") == 0)
        let more = Array(capture(5..<9).dropFirst(24))
        _ = unsafe more.withUnsafeBytes { unsafe write(writer, $0.baseAddress, $0.count) }
        close(writer)
        try expect(reader, hasGot: capture(0..<9))
        // Stenographer's way: hidden while it is written, then renamed.
        try mounted.put(".b", capture(9..<12))
        #expect(unsafe rename("\(mounted.source)/.b", "\(mounted.source)/b") == 0)
        try expect(reader, hasGot: joinedCaptures(capture(0..<9), capture(9..<12)))
    }

    @Test("L2: a file that is deleted before it is reached is passed over")
    func deletedAhead() throws {
        let mounted = try Mounted { source in
            for (name, numbers) in [("a", 0..<5), ("b", 5..<9), ("c", 9..<12)] {
                try writeFile("\(source)/\(name)", capture(numbers))
            }
        }
        let file = unsafe open(mounted.path("a..c"), O_RDONLY)
        defer { close(file) }
        #expect(unsafe unlink("\(mounted.source)/b") == 0)
        #expect(try readAll(file) == joinedCaptures(capture(0..<5), capture(9..<12)))
        try mounted.waitForLog("deleted before it was read")
    }

    @Test("L3: a ring that begins its first name anew is followed on")
    func ring() throws {
        let mounted = try Mounted { source in
            for index in 0..<3 { try writeFile("\(source)/r\(index)", capture(index * 5..<index * 5 + 5)) }
        }
        let reader = try mounted.reader("r1")
        var expected = joinedCaptures(capture(5..<10), capture(10..<15))
        try expect(reader, hasGot: expected)
        for round in 3..<7 {
            let file = capture(round * 5..<round * 5 + 5)
            try mounted.put("r\(round % 3)", file)
            expected += file.dropFirst(24)
            try expect(reader, hasGot: expected)
        }
    }

    @Test("L3: a file that is overwritten under its reader ends where it was read to, and the reader goes on")
    func overwritten() throws {
        let mounted = try Mounted { try writeFile("\($0)/a", capture(0..<5)) }
        let reader = try mounted.reader("a")
        try expect(reader, hasGot: capture(0..<5))
        try mounted.put("a", capture(100..<102))
        try expect(reader, hasGot: joinedCaptures(capture(0..<5), capture(100..<102)))
        try mounted.waitForLog("overwritten while it was being read")
    }

    @Test(
        "L3: a reader that a ring has lapped gets no byte of another packet, and then the oldest the ring still holds",
        arguments: [0, 900])
    func lapped(size: Int) throws {
        /// Packets of odd lengths, or all of one.
        func file(_ numbers: Range<Int>) -> [UInt8] {
            var file = ClassicBuilder()
            for number in numbers {
                let length = size > 0 ? size : 60 + number * 37 % 1300
                file.packet(
                    seconds: 1_700_000_511, fraction: UInt32(number), sampleBytes(length, seed: number))
            }
            return file.built("").bytes
        }
        let mounted = try Mounted { source in
            for index in 0..<3 { try writeFile("\(source)/r\(index)", file(index * 1000..<index * 1000 + 1000)) }
        }
        let descriptor = unsafe open(mounted.path("r0"), O_RDONLY | O_NONBLOCK)
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 8192)
        var got: [UInt8] = []
        while got.count < 100_000 {
            let count = unsafe read(descriptor, &buffer, buffer.count)
            if count > 0 { got += buffer[..<count] }
        }
        // The ring comes round: two of the three files are written anew, in their place, one after the other.
        for index in 0..<2 {
            try mounted.put("r\(index)", file(3000 + index * 1000..<4000 + index * 1000))
            usleep(20_000)
        }
        let complete = file(2000..<3000).count + file(3000..<4000).count + file(4000..<5000).count - 3 * 24
        let read = got.count
        let deadline = ContinuousClock.now + .seconds(30)
        while got.count < read + complete, ContinuousClock.now < deadline {
            let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
            if count > 0 { got += buffer[..<count] } else { usleep(1000) }
        }
        // What was read of the first file, its last packet completed by zeros; then the rest of what the ring holds.
        let rest = joinedCaptures(file(0..<0), file(2000..<3000), file(3000..<4000), file(4000..<5000)).dropFirst(24)
        expectSame(got.suffix(rest.count), rest)
        let first = got.dropLast(rest.count)
        let old = file(0..<1000)
        expectSame(first[..<read], old[..<read])
        #expect(first[read...].allSatisfy { $0 == 0 } && first.count - read < 1400)
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/first", Array(first))
            try run("tcpdump", ["-n", "-r", "\(folder)/first"]).checked()
        }
    }

    @Test("L8: names that are not followed, such as hidden ones and older ones, disturb nobody")
    func others() throws {
        let mounted = try Mounted { source in
            for name in ["a", "m"] { try writeFile("\(source)/\(name)", capture(0..<5)) }
        }
        let reader = try mounted.reader("m")
        try expect(reader, hasGot: capture(0..<5))
        try mounted.add("a", Array(capture(5..<9).dropFirst(24)))
        try mounted.put(".z", capture(0..<3))
        try mounted.put("z", capture(9..<12))
        try expect(reader, hasGot: joinedCaptures(capture(0..<5), capture(9..<12)))
    }

    @Test("F1, F6 and F7: .end is made, written, read back, cut and removed; it is listed while it exists")
    func endFile() throws {
        let mounted = try Mounted { try writeFile("\($0)/a", capture(0..<5)) }
        for name in [".end", ".end.77", "clustersize=1/.end", "filesize=1G/.end"] {
            #expect(mounted.errnoOf(name) { unsafe open($0, O_RDONLY) } == ENOENT)
            try writeFile(mounted.path(name), Array("first\n".utf8))
            #expect(try readFile(mounted.path(name)) == Array("first\n".utf8))
            try writeFile(mounted.path(name), Array("x".utf8))
            #expect(try readFile(mounted.path(name)) == Array("x".utf8))
            #expect(try mounted.size(name) == 1)
            #expect(unsafe truncate(mounted.path(name), 0) == 0)
            #expect(try readFile(mounted.path(name)).isEmpty)
            let folder = name.hasPrefix("filesize") ? "filesize=1G" : ""
            #expect(try directoryEntries(mounted.path(folder)).contains(name.split(separator: "/").last!.description))
            #expect(unsafe unlink(mounted.path(name)) == 0)
            #expect(mounted.errnoOf(name) { unsafe unlink($0) } == ENOENT)
        }
        for name in [".last", ".next", ".abend", ".last.77"] {
            #expect(mounted.errnoOf(name) { unsafe open($0, O_RDONLY) } == ENOENT)
        }
        #expect(try directoryEntries(mounted.mountpoint) == ["a"])
    }

    @Test(
        "F2, F3 and F5: .end is asked at the end of each file, ends the reader behind a match, and .last and .next tell"
    )
    func ending() throws {
        let mounted = try Mounted { source in
            for (name, numbers) in [("a1", 0..<5), ("a2", 5..<9), ("a3", 9..<12)] {
                try writeFile("\(source)/\(name)", capture(numbers))
            }
        }
        try writeFile(mounted.path(".end"), Array("a2\n".utf8))
        #expect(try mounted.cat("a1") == joinedCaptures(capture(0..<5), capture(5..<9)))
        #expect(try readFile(mounted.path(".last")) == Array("a2\n".utf8))
        #expect(try readFile(mounted.path(".next")) == Array("a3\n".utf8))
        // Another option directory has files of its own.
        #expect(mounted.errnoOf("filesize=1G/.last") { unsafe open($0, O_RDONLY) } == ENOENT)
        // The last file matches, but nothing is poised to follow it.
        try writeFile(mounted.path(".end"), Array("a[3-9]\n".utf8))
        let reader = try mounted.reader("a1")
        try expect(reader, hasGot: joinedCaptures(capture(0..<5), capture(5..<9), capture(9..<12)))
        try mounted.put("a4", capture(12..<13))
        #expect(try reader.wait().status == .exited(0))
        expectSame(reader.bytes, joinedCaptures(capture(0..<5), capture(5..<9), capture(9..<12)))
        #expect(try readFile(mounted.path(".next")) == Array("a4\n".utf8))
    }

    @Test("F3: a star ends behind whatever file it is")
    func star() throws {
        let mounted = try Mounted { source in
            for name in ["a", "b"] { try writeFile("\(source)/\(name)", capture(0..<5)) }
        }
        try writeFile(mounted.path(".end"), Array("*\n".utf8))
        #expect(try mounted.cat("a") == capture(0..<5))
    }

    @Test("F4 and F5: .end with a process's number ends only that one, and is refused for clusters")
    func endOfProcess() throws {
        let mounted = try Mounted { try writeFile("\($0)/a", capture(0..<5)) }
        let (one, other) = (try mounted.reader("a"), try mounted.reader("a"))
        try expect(one, hasGot: capture(0..<5))
        try expect(other, hasGot: capture(0..<5))
        try writeFile(mounted.path(".end.\(one.identifier)"), Array("a".utf8))
        try mounted.put("b", capture(5..<9))
        #expect(try one.wait().status == .exited(0))
        expectSame(one.bytes, capture(0..<5))
        try expect(other, hasGot: joinedCaptures(capture(0..<5), capture(5..<9)))
        #expect(try readFile(mounted.path(".last.\(one.identifier)")) == Array("a\n".utf8))
        #expect(try readFile(mounted.path(".next.\(one.identifier)")) == Array("b\n".utf8))
        #expect(mounted.errnoOf(".last") { unsafe open($0, O_RDONLY) } == ENOENT)
        #expect(mounted.errnoOf("clustersize=2/.end.5") { unsafe open($0, O_WRONLY | O_CREAT, 0o644) } == EINVAL)
    }

    @Test("tcpdump that rotates by size is followed without a lost packet")
    func tcpdumpRotation() throws {
        try requireTool("tcpdump")
        let packets = capture(0..<25_000, size: 1000)
        let mounted = try Mounted { try writeFile("\($0)/.input", packets) }
        // Both ends of a ring of names without zeros: dump, dump1, ... dump10, ...
        let words = ["-r", "\(mounted.source)/.input", "-C", "2", "-w", "\(mounted.source)/dump", "-Z", "root"]
        try mounted.put("dump", [])
        let reader = try mounted.reader("dump")
        try run("tcpdump", words).checked()
        #expect(try directoryEntries(mounted.source).count > 11)
        try expect(reader, hasGot: packets)
    }
}

/// All that can be read from a descriptor.
func readAll(_ file: Int32) throws -> [UInt8] {
    var (result, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 65_536))
    while true {
        let count = unsafe read(file, &buffer, buffer.count)
        guard count >= 0 else { throw Problem("read: errno \(errno)") }
        if count == 0 { return result }
        result += buffer[..<count]
    }
}
