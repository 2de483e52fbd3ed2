import Glibc
import TestSupport
import Testing

@Suite("A: mount and source", .timeLimit(.minutes(5)))
struct MountTests {
    @Test(
        "A1: called as a mount helper, it takes what mount(8) and fstab say, and goes into the background",
        arguments: ["mount.spillway", "mount.pcap"])
    func helper(name: String) throws {
        let mounted = try Mounted()  // for its requirements and its folders
        try unmount(mounted.mountpoint)
        #expect(try mounted.wait().status == .exited(0))
        try mounted.put("a.pcap", capture(0..<3))
        try withTemporaryDirectory { folder in
            let program = "\(folder)/\(name)"
            #expect(unsafe symlink(try builtExecutable("spillway"), program) == 0)
            // -f asks for a rehearsal.
            try run(program, [mounted.source, mounted.mountpoint, "-f", "-o", "rw"]).checked()
            #expect(try status(mounted.mountpoint).st_dev == status(mounted.source).st_dev)
            let options = "rw,ro,noauto,user,dev,suid,_netdev,x-systemd.automount,filesize=1G"
            try run(program, [mounted.source, mounted.mountpoint, "-n", "-s", "-v", "-o", options]).checked()
            try waitUntilMounted(mounted.mountpoint)
            #expect(try mounted.size("a.pcap") == 1 << 30)
            try unmount(mounted.mountpoint)
        }
    }

    @Test("A1: what is wrong with a command line is named, with its exit code")
    func refusals() throws {
        try withTemporaryDirectory { folder in
            try makeDirectory("\(folder)/s")
            try makeDirectory("\(folder)/m")
            func mount(_ arguments: [String]) throws -> CommandResult {
                try run(try builtExecutable("spillway"), ["mount"] + arguments)
            }
            let cases: [([String], Int32, String)] = [
                (["\(folder)/none", "\(folder)/m"], 66, "\(folder)/none"),
                (["\(folder)/s", "\(folder)/none"], 66, "\(folder)/none"),
                (["\(folder)/s"], 64, "mountpoint"),
                (["\(folder)/s", "\(folder)/m", "-o", "clustersize=0"], 64, "clustersize=0"),
                (["\(folder)/s", "\(folder)/m", "-o", "cache"], 64, "cache"),
            ]
            for (arguments, code, word) in cases {
                let result = try mount(arguments)
                #expect(result.status == .exited(code) && result.errorText.contains(word), "\(result)")
            }
        }
    }

    @Test("A2 and C5: sub-directories show their files by the same rules, with options before and behind them")
    func directories() throws {
        let mounted = try Mounted { source in
            try makeDirectory("\(source)/sub")
            try writeFile("\(source)/sub/a.pcap", capture(0..<3))
            try writeFile("\(source)/sub/b.pcap", capture(3..<5))
            try writeFile("\(source)/c.pcap", capture(0..<1))
        }
        let expected = joinedCaptures(capture(0..<3), capture(3..<5))
        for path in ["sub/a.pcap..b.pcap", "filesize=1G/sub/a.pcap..b.pcap", "sub/filesize=1G/a.pcap..b.pcap"] {
            #expect(try mounted.cat(path) == expected, "\(path)")
        }
        #expect(try mounted.size("sub/filesize=1G/a.pcap") == 1 << 30)
    }

    @Test("A2: symbolic links are followed inside the source and lead nowhere else")
    func links() throws {
        let mounted = try Mounted { source in
            try writeFile("\(source)/a.pcap", capture(0..<3))
            #expect(unsafe symlink("a.pcap", "\(source)/in.pcap") == 0)
            #expect(unsafe symlink("/etc/passwd", "\(source)/out.pcap") == 0)
            #expect(unsafe symlink("../../etc", "\(source)/etc") == 0)
        }
        #expect(try mounted.cat("in.pcap..in.pcap") == capture(0..<3))
        #expect(mounted.errnoOf("out.pcap") { unsafe open($0, O_RDONLY) } == ENOENT)
        #expect(mounted.errnoOf("etc/passwd") { unsafe open($0, O_RDONLY) } == ENOENT)
    }

    @Test("A3: everything that would change something is EROFS")
    func readOnly() throws {
        let mounted = try Mounted { source in
            try writeFile("\(source)/a.pcap", capture(0..<3))
            try makeDirectory("\(source)/sub")
        }
        var times = [timespec(), timespec()]
        let calls: [(String, (String) -> Int32)] = [
            ("new", { unsafe open($0, O_WRONLY | O_CREAT, 0o644) }), ("a.pcap", { unsafe open($0, O_WRONLY) }),
            ("a.pcap", { unsafe open($0, O_RDWR) }), ("a.pcap", { unsafe open($0, O_RDONLY | O_TRUNC) }),
            ("a.pcap", { unsafe unlink($0) }), ("a.pcap", { unsafe rename($0, $0 + "x") }),
            ("sub", { unsafe rmdir($0) }),
            ("new", { unsafe mkdir($0, 0o755) }), ("a.pcap", { unsafe chmod($0, 0o777) }),
            ("a.pcap", { unsafe chown($0, 1, 1) }), ("a.pcap", { unsafe truncate($0, 0) }),
            ("a.pcap", { unsafe utimensat(AT_FDCWD, $0, &times, 0) }), ("a.pcap", { unsafe link($0, $0 + "x") }),
            ("new", { unsafe symlink("a", $0) }), ("new", { unsafe mknod($0, S_IFREG | 0o644, 0) }),
            (".last", { unsafe open($0, O_WRONLY | O_CREAT, 0o644) }), (".status", { unsafe open($0, O_WRONLY) }),
        ]
        for (index, (name, call)) in calls.enumerated() {
            #expect(mounted.errnoOf(name, call) == EROFS, "call \(index)")
        }
        #expect(try directoryEntries(mounted.source) == ["a.pcap", "sub"])
        #expect(try readFile("\(mounted.source)/a.pcap") == capture(0..<3))
    }

    @Test("A4: plain names list and stat like the source, without write bits; no space is free")
    func listing() throws {
        let mounted = try Mounted { source in
            for name in ["a.pcap", "b.pcap", "notes.txt", ".hidden"] {
                try writeFile("\(source)/\(name)", capture(0..<3))
            }
            try writeFile("\(source)/notes.txt", Array("no capture\n".utf8))
            unsafe chmod("\(source)/a.pcap", 0o664)
            try makeDirectory("\(source)/sub")
        }
        #expect(try directoryEntries(mounted.mountpoint) == directoryEntries(mounted.source))
        let (shown, original) = try (status(mounted.path("a.pcap")), status("\(mounted.source)/a.pcap"))
        #expect(shown.st_mode == original.st_mode & ~0o222)
        #expect((shown.st_uid, shown.st_gid) == (original.st_uid, original.st_gid))
        #expect(shown.st_mtim.tv_sec == original.st_mtim.tv_sec && shown.st_mtim.tv_nsec == original.st_mtim.tv_nsec)
        // What is no capture is what it is.
        #expect(try mounted.size("notes.txt") == 11)
        #expect(try mounted.cat("notes.txt") == Array("no capture\n".utf8))
        var space = statvfs()
        #expect(unsafe statvfs(mounted.mountpoint, &space) == 0)
        #expect(space.f_bfree == 0 && space.f_bavail == 0 && space.f_blocks > 0)
    }

    @Test("A5: a source that contains the mountpoint, or lies in it, is refused")
    func containment() throws {
        try withTemporaryDirectory { folder in
            try makeDirectory("\(folder)/s")
            try makeDirectory("\(folder)/s/m")
            #expect(unsafe symlink("\(folder)/s", "\(folder)/link") == 0)
            for (source, target) in [("s", "s/m"), ("s/m", "s"), ("s", "s"), ("link", "s/m")] {
                let result = try run(
                    try builtExecutable("spillway"), ["mount", "\(folder)/\(source)", "\(folder)/\(target)"])
                #expect(result.status == .exited(64) && result.errorText.contains("contains"), "\(result)")
            }
        }
    }

    @Test("SIGTERM unmounts and ends with 0; a waiting reader gets an error and does not hang")
    func termination() throws {
        let mounted = try Mounted { try writeFile("\($0)/a.pcap", capture(0..<3)) }
        let reader = try mounted.reader("a.pcap")
        try reader.waitFor(1)
        mounted.send(signal: SIGTERM)
        #expect(try mounted.wait().status == .exited(0))
        #expect(try reader.wait().status == .exited(1))
        #expect(try directoryEntries(mounted.mountpoint).isEmpty)
    }

    @Test("A dead mount that was left behind is cleared by the next one")
    func deadMount() throws {
        let mounted = try Mounted { try writeFile("\($0)/a.pcap", capture(0..<3)) }
        mounted.send(signal: SIGKILL)
        #expect(try mounted.wait().status == .signalled(SIGKILL))
        #expect(
            mounted.errnoOf("") { path in
                var s = stat(); return unsafe stat(path, &s)
            } == ENOTCONN)
        try withChild(try builtExecutable("spillway"), ["mount", mounted.source, mounted.mountpoint, "--foreground"]) {
            child in
            try child.waitUntil { _, errors in errors.contains("dead mount") }
            try waitUntilMounted(mounted.mountpoint)
            #expect(try mounted.cat("a.pcap..a.pcap") == capture(0..<3))
            child.send(signal: SIGTERM)
            #expect(try child.wait().status == .exited(0))
        }
    }
}
