import Glibc
import TestSupport
import Testing

@Suite("What people and machines do to a mount", .timeLimit(.minutes(5)))
struct RoughTests {
    @Test("Odd names of files, of the source and of the mountpoint are names like any other")
    func oddNames() throws {
        let names = [
            "with blank", "comma,and\\backslash", "new\nline", "ünïcödé", "-dash", "...", "a..", "..b", "a=b", "cached",
            "clustersize=2", "%s%n", "'\"$`", String(repeating: "x", count: 255),
        ]
        let mounted = try Mounted { source in
            for (index, name) in names.enumerated() {
                try makeDirectory("\(source)/d\(index)")
                try writeFile("\(source)/d\(index)/\(name)", capture(index..<index + 3))
            }
            // Not UTF-8: it is passed over.
            try run("sh", ["-c", "printf x > \"$0/$(printf 'bad\\377')\"", source]).checked()
        }
        for (index, name) in names.enumerated() {
            #expect(try directoryEntries(mounted.path("d\(index)")) == [name])
            let file = unsafe open(mounted.path("d\(index)/\(name)"), O_RDONLY | O_NONBLOCK)
            defer { close(file) }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = unsafe read(file, &buffer, 4096)
            expectSame(buffer.prefix(max(0, count)), capture(index..<index + 3), name)
            if name.utf8.count < 100 {
                expectSame(try mounted.cat("d\(index)/\(name)..\(name)"), capture(index..<index + 3), name)
            }
        }
        #expect(try Set(directoryEntries(mounted.mountpoint)) == Set(names.indices.map { "d\($0)" }))
    }

    @Test("A mount whose source and mountpoint have odd names comes and goes")
    func oddMountpoints() throws {
        let outer = try Mounted()
        let (source, target) = ("\(outer.source)/s, \\x\n", "\(outer.source)/t \\040,")
        try makeDirectory(source)
        try makeDirectory(target)
        try writeFile("\(source)/a", capture(0..<3))
        for end in [SIGTERM, SIGKILL] {
            try withChild(try builtExecutable("spillway"), ["mount", source, target, "--foreground"]) { child in
                try waitUntilMounted(target)
                expectSame(try readFile("\(target)/a..a"), capture(0..<3))
                child.send(signal: end)
                let status = try child.wait().status
                #expect(status == (end == SIGTERM ? .exited(0) : .signalled(SIGKILL)))
            }
        }
        // The dead one of the second round is cleared by a third.
        try withChild(try builtExecutable("spillway"), ["mount", source, target, "--foreground"]) { child in
            try child.waitUntil { _, errors in errors.contains("dead mount") }
            try waitUntilMounted(target)
            child.send(signal: SIGTERM)
            #expect(try child.wait().status == .exited(0))
        }
    }

    @Test("A file that grows by one byte at a time, into the next file, is read to the byte")
    func singleBytes() throws {
        let (first, second) = (capture(0..<2, size: 30), capture(2..<4, size: 30))
        let mounted = try Mounted("settle=50ms") { try writeFile("\($0)/a", Array(first.prefix(30))) }
        let reader = try mounted.reader("a")
        try reader.waitFor(30)
        for (name, bytes) in [("a", Array(first.dropFirst(30))), ("b", second)] {
            let file = unsafe open("\(mounted.source)/\(name)", O_WRONLY | O_APPEND | O_CREAT, 0o644)
            defer { close(file) }
            for byte in bytes {
                var byte = byte
                #expect(unsafe write(file, &byte, 1) == 1)
                usleep(200)
            }
        }
        try reader.waitFor(joinedCaptures(first, second).count)
        expectSame(reader.bytes, joinedCaptures(first, second))
    }

    @Test("A directory that is deleted under its readers is an error for them, and nobody hangs")
    func deletedDirectory() throws {
        let mounted = try Mounted("settle=50ms") { source in
            try makeDirectory("\(source)/d")
            try writeFile("\(source)/d/a", capture(0..<5))
        }
        let reader = try mounted.reader("d/a")
        try reader.waitFor(capture(0..<5).count)
        removeTree("\(mounted.source)/d")
        let result = try reader.wait()
        #expect(result.status == .exited(1) && result.errorText.contains("No such file or directory"))
        try mounted.waitForLog("d/a: No such file or directory")
        #expect(unsafe access(mounted.path("d"), F_OK) != 0)
        // The same names once more.
        try makeDirectory("\(mounted.source)/d")
        try writeFile("\(mounted.source)/d/a", capture(5..<9))
        expectSame(try mounted.cat("d/a..a"), capture(5..<9))
    }

    @Test("Files that the one who mounts may not read are EACCES or passed over, never a wrong byte")
    func permissions() throws {
        try requireTool("setpriv")
        let mounted = try Mounted("allow_other,settle=50ms") { source in
            for (name, numbers) in [("a", 0..<3), ("b", 3..<6), ("c", 6..<9)] {
                try writeFile("\(source)/\(name)", capture(numbers))
            }
            unsafe chmod(source, 0o755)
            for name in ["a", "c"] { unsafe chmod("\(source)/\(name)", 0o644) }
        }
        unsafe chmod("\(mounted.source)/..", 0o755)
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "cat"]
        #expect(try run("setpriv", user + [mounted.path("a..a")]).output == capture(0..<3))
        let refused = try run("setpriv", user + [mounted.path("b..b")])
        #expect(refused.status == .exited(1) && refused.errorText.contains("Permission denied"))
    }

    @Test("A mount of a mount is refused, also of a directory in it")
    func nested() throws {
        let lower = try Mounted { source in
            for (name, numbers) in [("a", 0..<3), ("b", 3..<6)] { try writeFile("\(source)/\(name)", capture(numbers)) }
            try makeDirectory("\(source)/d")
        }
        try withTemporaryDirectory { folder in
            for source in [lower.mountpoint, lower.path("d"), lower.path("cached/d")] {
                let result = try run(try builtExecutable("spillway"), ["mount", source, folder, "--foreground"])
                #expect(result.status == .exited(64))
                #expect(result.errorText.contains("such a mount itself"))
            }
        }
        expectSame(try lower.cat("a..b"), joinedCaptures(capture(0..<3), capture(3..<6)))
    }

    @Test("A1: mount(8) finds the helper by its type, from fstab")
    func fstab() throws {
        for tool in ["unshare", "mount", "umount"] { try requireTool(tool) }
        let mounted = try Mounted { try writeFile("\($0)/a", capture(0..<3)) }
        try withTemporaryDirectory { folder in
            for name in ["m", "upper", "work"] { try makeDirectory("\(folder)/\(name)") }
            try writeFile(
                "\(folder)/fstab",
                Array("\(mounted.source) \(folder)/m spillway ro,nofail,_netdev,filesize=3G 0 0\n".utf8))
            // A helper in /sbin exists only in a mount namespace of the test's own.
            let script = """
                set -e
                mount -t tmpfs tmpfs "$1/work"
                mkdir "$1/work/up" "$1/work/work"
                mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$1/work/up,workdir=$1/work/work" /usr/sbin
                ln -s "$2" /usr/sbin/mount.spillway
                mount -T "$1/fstab" "$1/m"
                stat -c %s "$1/m/a"
                findmnt -n -o FSTYPE "$1/m"
                umount "$1/m"
                """
            let program = try builtExecutable("spillway")
            let words = ["--mount", "--propagation", "private", "sh", "-c", script, "sh", folder, program]
            let result = try run("unshare", words)
            #expect(result.outputText == "\(3 << 30)\nfuse.spillway\n", "\(result.errorText)")
        }
    }
}
