import Glibc
import TestSupport
import Testing

@Suite("C, D, G: how options reach the kernel and the control files", .timeLimit(.minutes(5)))
struct PointTests {
    private func twoFiles(_ options: String = "", size: Int = 100, count: Int = 20) throws -> (Mounted, [UInt8]) {
        let files = [capture(0..<count, size: size), capture(count..<2 * count, size: size)]
        let mounted = try Mounted(options) { source in
            for (name, file) in zip(["a", "b"], files) { try writeFile("\(source)/\(name)", file) }
        }
        return (mounted, joinedCaptures(files[0], files[1]))
    }

    @Test("C4: .end of an option directory concerns readers with these options, and no others")
    func scopes() throws {
        let (mounted, all) = try twoFiles()
        try run("sh", ["-c", "echo a > \"$0\"", mounted.path("order=mtime/.end")]).checked()
        let (own, other) = (try mounted.reader("order=mtime/a"), try mounted.reader("a"))
        #expect(try own.wait().status == .exited(0))
        expectSame(own.bytes, capture(0..<20))
        try other.waitFor(all.count)
        #expect(other.isRunning())
        #expect(try readFile(mounted.path("order=mtime/.last")) == Array("a\n".utf8))
        #expect(unsafe access(mounted.path(".last"), F_OK) != 0)
    }

    @Test("D7: files are read directly unless cached is asked for: only then can they be mapped and shared")
    func directly() throws {
        let (mounted, all) = try twoFiles()
        for (prefix, isCached) in [("", false), ("cached/", true), ("cached/cached=0/", false)] {
            let file = unsafe open(mounted.path("\(prefix)a..b"), O_RDONLY)
            defer { close(file) }
            let memory = unsafe mmap(nil, all.count, PROT_READ, MAP_SHARED, file, 0)
            let isMapped = unsafe memory != MAP_FAILED
            #expect(isMapped == isCached, "\(prefix)")
            guard isMapped, let memory = unsafe memory else { continue }
            unsafe expectSame(Array(UnsafeRawBufferPointer(start: memory, count: all.count)), all)
            unsafe munmap(memory, all.count)
        }
        // An open end is never cached, whatever is asked for.
        let live = unsafe open(mounted.path("cached/a"), O_RDONLY | O_NONBLOCK)
        defer { close(live) }
        #expect(unsafe mmap(nil, 4096, PROT_READ, MAP_SHARED, live, 0) == MAP_FAILED)
    }

    @Test("D6: pages of a cached range stay for the next open: they are read while the daemon stands still")
    func keptPages() throws {
        let (mounted, all) = try twoFiles("cached,keepcache", size: 600, count: 300)
        expectSame(try mounted.cat("a..b"), all)
        let file = unsafe open(mounted.path("a..b"), O_RDONLY)
        mounted.send(signal: SIGSTOP)
        var bytes = [UInt8](repeating: 0, count: all.count - 1)
        let count = unsafe pread(file, &bytes, bytes.count, 0)
        mounted.send(signal: SIGCONT)
        close(file)
        #expect(count == bytes.count)
        expectSame(bytes, all.dropLast())
    }

    @Test("D6: a range that changed is read anew, cached or not", arguments: ["cached", "cached,keepcache=0"])
    func changedRange(options: String) throws {
        let (mounted, all) = try twoFiles(options)
        expectSame(try mounted.cat("a..b"), all)
        try mounted.put("b", capture(500..<510))
        expectSame(try mounted.cat("a..b"), joinedCaptures(capture(0..<20), capture(500..<510)))
        try mounted.add("b", Array(capture(510..<512).dropFirst(24)))
        expectSame(try mounted.cat("a..b"), joinedCaptures(capture(0..<20), capture(500..<512)))
    }

    @Test("G1: a large read is answered by as many bytes as it asks for, over the ends of files")
    func largeReads() throws {
        let (mounted, all) = try twoFiles(size: 1400, count: 500)
        #expect(all.count > 1 << 20)
        let file = unsafe open(mounted.path("a"), O_RDONLY)
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        #expect(unsafe read(file, &buffer, 1 << 20) == 1 << 20)
        expectSame(buffer, all.prefix(1 << 20))
    }

    @Test("A..A is the file itself as it is at each open, whoever else has it open", arguments: ["", "cached/"])
    func oneFile(prefix: String) throws {
        let (mounted, _) = try twoFiles()
        let name = "\(prefix)a..a"
        var kept: [Int32] = []
        defer { for file in kept { close(file) } }
        func hold() { kept.append(unsafe open(mounted.path(name), O_RDONLY)) }
        for round in 0..<4 {
            expectSame(try mounted.cat(name), capture(0..<20 + round), "round \(round)")
            hold()
            #expect(try mounted.size(name) == capture(0..<20 + round).count)
            try mounted.add("a", Array(capture(20 + round..<21 + round).dropFirst(24)))
        }
        // Another file of that name.
        try writeFile("\(mounted.source)/.new", capture(70..<75))
        #expect(unsafe rename("\(mounted.source)/.new", "\(mounted.source)/a") == 0)
        expectSame(try mounted.cat(name), capture(70..<75))
        hold()
        // While it is written, its end is waited for.
        let writer = unsafe open("\(mounted.source)/a", O_WRONLY | O_APPEND)
        let reader = try mounted.reader(name)
        try reader.waitFor(capture(70..<75).count)
        let more = Array(capture(75..<80).dropFirst(24))
        #expect(unsafe write(writer, more, more.count) == more.count)
        try reader.waitFor(capture(70..<80).count)
        #expect(reader.isRunning())
        close(writer)
        #expect(try reader.wait().status == .exited(0))
        expectSame(reader.bytes, capture(70..<80))
    }
}
