import Glibc
import TestSupport
import Testing

@Suite("B to E: names, option directories, options and sizes", .timeLimit(.minutes(5)))
struct NameTests {
    private let f8 = capture(0..<5)
    private let f9 = capture(5..<9)
    private let f10 = capture(9..<20)
    private let f11 = capture(20..<25)

    private func mounted(_ options: String = "") throws -> Mounted {
        try Mounted(options) { source in
            for (name, bytes) in [("f8", f8), ("f9", f9), ("f10", f10), ("f11", f11)] {
                try writeFile("\(source)/\(name)", bytes)
            }
        }
    }

    @Test(
        "B1 and B3: a name, and a name with two dots, go on through all that follow and then wait",
        arguments: ["f9", "f9.."])
    func openEnd(name: String) throws {
        let mounted = try mounted()
        let reader = try mounted.reader(name)
        let expected = joinedCaptures(f9, f10, f11)
        try reader.waitFor(expected.count)
        expectSame(reader.bytes, expected)
        #expect(reader.isRunning())
    }

    @Test("B2 and B6: a range has both ends and what lies between in chronological order, with one header")
    func range() throws {
        let mounted = try mounted()
        #expect(try mounted.cat("f8..f11") == joinedCaptures(f8, f9, f10, f11))
        #expect(try mounted.cat("f9..f10") == joinedCaptures(f9, f10))
        #expect(try mounted.cat("f10..f10") == f10)
    }

    @Test("B6: sections of pcapng are kept whole")
    func sections() throws {
        let files = [captureNG(0..<3), captureNG(3..<9), captureNG(9..<10)]
        let mounted = try Mounted { source in
            for (index, file) in files.enumerated() { try writeFile("\(source)/\(index).pcapng", file) }
        }
        #expect(try mounted.cat("0.pcapng..2.pcapng") == files.flatMap { $0 })
        #expect(try mounted.size("0.pcapng..2.pcapng") == Int64(files.reduce(0) { $0 + $1.count }))
    }

    @Test("B3: a real name wins over a range, and dots in names do not confuse one")
    func dots() throws {
        let mounted = try Mounted { source in
            for (name, file) in [("a", f8), ("b", f9), ("a..b", f10), ("c..d", f11), ("..e", f8)] {
                try writeFile("\(source)/\(name)", file)
            }
        }
        #expect(try mounted.cat("a..b..a..b") == f10)
        #expect(try mounted.cat("a..b..b") == joinedCaptures(f10, f9))
        #expect(try mounted.cat("a..c..d") == joinedCaptures(f8, f10, f9, f11))
        #expect(try mounted.size("a..b") == 512 << 40)
        #expect(try mounted.size("..e") == 512 << 40)
    }

    @Test("B4: a range that ends before it begins, or has an end that is missing, does not exist")
    func missing() throws {
        let mounted = try mounted()
        for name in ["f10..f9", "f11..f8", "f8..f12", "f7..f9", "f7", "f7..", "..", "f8...", "..f8"] where name != ".."
        {
            #expect(mounted.errnoOf(name) { unsafe open($0, O_RDONLY) } == ENOENT, "\(name)")
        }
    }

    @Test("B5: ranges are not listed")
    func unlisted() throws {
        let mounted = try mounted()
        _ = try mounted.cat("f8..f9")
        #expect(try directoryEntries(mounted.mountpoint) == ["f10", "f11", "f8", "f9"])
    }

    @Test("C1: options stack in any order, override those of the mount, and the last one wins")
    func stacking() throws {
        let mounted = try mounted("filesize=3G")
        #expect(try mounted.size("f8") == 3 << 30)
        #expect(try mounted.size("filesize=5G/f8") == 5 << 30)
        #expect(try mounted.size("clustersize=3/filesize=5G/f8") == 5 << 30)
        #expect(try mounted.size("filesize=5G/clustersize=3/f8") == 5 << 30)
        #expect(try mounted.size("filesize=5G/filesize=7k/f8") == 7 << 10)
        #expect(try mounted.cat("clustersize=4/clustersize=1/f8..f9") == joinedCaptures(f8, f9))
    }

    @Test("C2 and D: unknown options and bad values do not exist")
    func badOptions() throws {
        let mounted = try mounted()
        let bad = [
            "clustersize", "clustersize=", "clustersize=0", "clustersize=x", "clustersize=257", "clustersize=-1",
            "size=4",
            "filesize=0", "filesize=8192P", "filesize=1X", "clusterabend=5", "clustermode=5", "blockslack=0",
            "keepcache=2", "cached=yes", "order=size", "direction=sideways", "settle=5",
        ]
        for name in bad {
            #expect(mounted.errnoOf(name) { unsafe open($0, O_RDONLY) } == ENOENT, "\(name)")
            #expect(mounted.errnoOf("\(name)/f8") { unsafe open($0, O_RDONLY) } == ENOENT, "\(name)")
        }
        let good = [
            "clustersize=256", "filesize=2048P", "filesize=9223372036854775807", "clusterabend=4", "clustermode=4",
            "blockslack=16", "keepcache", "cached", "cached=0", "order=mtime", "order=packet", "settle=5ms",
        ]
        for name in good { #expect(try status(mounted.path(name)).st_mode & S_IFMT == S_IFDIR, "\(name)") }
    }

    @Test("C3: an option directory lists its directory")
    func optionListing() throws {
        let mounted = try mounted()
        #expect(try directoryEntries(mounted.path("clustersize=6/filesize=1G")) == ["f10", "f11", "f8", "f9"])
    }

    @Test("D3, E3 and J2: a stream without an end shows filesize, also the greatest there is")
    func endlessSize() throws {
        let mounted = try mounted()
        #expect(try mounted.size("f8") == 512 << 40)
        #expect(try mounted.size("f8..") == 512 << 40)
        #expect(try mounted.size("filesize=9223372036854775807/f8") == Int64.max)
        let head = try run("head", ["-c", "300", mounted.path("filesize=9223372036854775807/f8")]).checked()
        #expect(head.output == Array(joinedCaptures(f8, f9).prefix(300)))
    }

    @Test("E1: a range shows its true size, also for members of a cluster")
    func closedSize() throws {
        let mounted = try mounted()
        let size = Int64(f8.count + f9.count + f10.count + f11.count - 3 * 24)
        #expect(try mounted.size("f8..f11") == size)
        #expect(try mounted.size("clustersize=4/f8..f11") == size)
    }

    @Test("E2: while the end file grows, the size does")
    func growingSize() throws {
        let mounted = try mounted()
        let before = try mounted.size("f8..f11")
        try mounted.add("f11", Array(capture(25..<30).dropFirst(24)))
        #expect(try mounted.size("f8..f11") == before + Int64(capture(25..<30).count - 24))
    }

    @Test("E4: after its end a reader's own fstat shows what it got")
    func sizeAtEnd() throws {
        let mounted = try mounted()
        let file = unsafe open(mounted.path("f8"), O_RDONLY | O_NONBLOCK)
        defer { close(file) }
        try mounted.put(".end-is-not-there", [])
        try append(mounted.path(".end"), Array("f8\n".utf8))
        var (buffer, total) = ([UInt8](repeating: 0, count: 4096), 0)
        while case let count = unsafe read(file, &buffer, 4096), count > 0 { total += count }
        #expect(total == f8.count)
        var result = stat()
        #expect(unsafe fstat(file, &result) == 0)
        #expect(result.st_size == f8.count)
    }

    @Test("order=mtime and order=packet follow the times of files and of first packets")
    func orders() throws {
        let mounted = try Mounted { source in
            for (name, file, time) in [("a", f10, 300), ("b", f8, 200), ("c", f9, 100)] {
                try writeFile("\(source)/\(name)", file)
                var times = [timespec(tv_sec: time, tv_nsec: 0), timespec(tv_sec: time, tv_nsec: 0)]
                #expect(unsafe utimensat(AT_FDCWD, "\(source)/\(name)", &times, 0) == 0)
            }
        }
        #expect(try mounted.cat("a..c") == joinedCaptures(f10, f8, f9))
        #expect(try mounted.cat("order=mtime/c..a") == joinedCaptures(f9, f8, f10))
        #expect(try mounted.cat("order=packet/b..a") == joinedCaptures(f8, f9, f10))
        #expect(mounted.errnoOf("order=mtime/a..c") { unsafe open($0, O_RDONLY) } == ENOENT)
    }
}
