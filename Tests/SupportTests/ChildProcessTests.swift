import Glibc
import TestSupport
import Testing

@Suite("Child processes of tests")
struct ChildProcessTests {
    @Test("A megabyte goes through a child's input and output unchanged")
    func largeInput() throws {
        let bytes = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
        let result = try run("cat", input: bytes).checked()
        #expect(result.output == bytes)
        #expect(result.errors.isEmpty)
    }

    @Test("A child that closes its input early ends the run, with no SIGPIPE in the test process")
    func earlyClose() throws {
        let result = try run("head", ["-c", "3"], input: [UInt8](repeating: 65, count: 1 << 20))
        #expect(result.status == .exited(0))
        #expect(result.outputText == "AAA")
    }

    @Test("Exit code, signal and standard error are told apart")
    func statuses() throws {
        let failed = try run("sh", ["-c", "echo out; echo err >&2; exit 65"])
        #expect(failed.status == .exited(65))
        #expect(failed.outputLines == ["out"])
        #expect(failed.errorText == "err\n")
        #expect(throws: CommandProblem.self) { try failed.checked() }
        #expect(try run("sh", ["-c", "kill -9 $$"]).status == .signalled(9))
    }

    @Test("Time is bounded, and the whole process group goes")
    func timeLimit() throws {
        try withTemporaryDirectory { folder in
            let script = "sleep 1000 & echo $! > \(folder)/pid; wait"
            #expect(throws: CommandProblem.self) {
                try run("sh", ["-c", script], timeLimit: .milliseconds(500))
            }
            let text = String(decoding: try readFile("\(folder)/pid"), as: UTF8.self)
            let grandchild = try #require(Int32(text.dropLast()))
            var gone = false
            for _ in 0..<500 where !gone {
                // A zombie that nobody has reaped yet still takes signals; its command line is empty.
                let commandLine = (try? readFile("/proc/\(grandchild)/cmdline")) ?? []
                gone = kill(grandchild, 0) != 0 || commandLine.isEmpty
                usleep(10_000)
            }
            #expect(gone)
        }
    }

    @Test("A running child takes input piece by piece and can be watched")
    func interactive() throws {
        try withChild("cat") { child in
            try child.writeInput(Array("one".utf8))
            try child.waitUntil { output, _ in output == "one" }
            #expect(child.isRunning())
            try child.writeInput(Array(" two".utf8))
            child.closeInput()
            let result = try child.wait()
            #expect(result.outputText == "one two")
            #expect(!child.isRunning())
        }
    }

    @Test("Waiting for words a child never says ends when the child does")
    func neverSaid() throws {
        try withChild("echo", ["other"]) { child in
            #expect(throws: CommandProblem.self) { try child.waitUntil { output, _ in output == "words" } }
        }
    }

    @Test("Environment and working directory reach the child")
    func surroundings() throws {
        let result = try run(
            "sh", ["-c", "echo $ADDED-$HOME; pwd"], environment: ["ADDED": "yes", "HOME": nil],
            directory: "/usr")
        #expect(result.outputLines == ["yes-", "/usr"])
    }

    @Test("No descriptor of the test process leaks into a child")
    func descriptors() throws {
        let kept = unsafe open("/dev/null", O_RDONLY)
        defer { close(kept) }
        let listed = try run("ls", ["/proc/self/fd"]).checked().outputLines
        // 0, 1, 2, and the directory ls itself opens.
        #expect(listed == ["0", "1", "2", "3"])
    }

    @Test("A program that does not exist is named")
    func missing() throws {
        #expect(findTool("no-such-program-anywhere") == nil)
        let error = #expect(throws: CommandProblem.self) { try run("no-such-program-anywhere") }
        #expect(error?.description.contains("no-such-program-anywhere") == true)
    }
}

@Suite("Temporary directories of tests")
struct TemporaryDirectoryTests {
    struct Planned: Error {}

    @Test("A directory is removed with all its content, also after an error; links are not followed")
    func removal() throws {
        try withTemporaryDirectory { outer in
            try writeFile("\(outer)/precious", [1, 2, 3])
            var inner = ""
            #expect(throws: Planned.self) {
                try withTemporaryDirectory(in: outer) { path in
                    inner = path
                    try writeFile("\(path)/file", [4])
                    #expect(unsafe mkdir("\(path)/deep", 0o700) == 0)
                    try writeFile("\(path)/deep/file", [5])
                    #expect(unsafe symlink(outer, "\(path)/link") == 0)
                    #expect(try directoryEntries(path) == ["deep", "file", "link"])
                    throw Planned()
                }
            }
            #expect(inner.hasPrefix(outer))
            #expect(try directoryEntries(outer) == ["precious"])
            #expect(try readFile("\(outer)/precious") == [1, 2, 3])
        }
    }
}
