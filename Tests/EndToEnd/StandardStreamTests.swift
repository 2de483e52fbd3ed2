import Glibc
import TestSupport
import Testing

@Suite("Pipes that hang, streams that are closed, one file by two names")
struct StandardStreamTests {
    private func makePipe(_ path: String) throws {
        guard unsafe mkfifo(path, 0o600) == 0 else { throw Unexpected("cannot make the named pipe \(path)") }
    }

    @Test("An output that is the input by another name is refused, and the input stays as it is")
    func sameFile() throws {
        try withTemporaryDirectory { folder in
            let bytes = captureFile(numberedPackets(0..<100))
            try writeFile("\(folder)/in", bytes)
            let symbolic = unsafe symlink("\(folder)/in", "\(folder)/symbolic")
            let hard = unsafe link("\(folder)/in", "\(folder)/hard")
            guard symbolic == 0, hard == 0 else { throw Unexpected("cannot make links in \(folder)") }
            for name in ["./in", "symbolic", "hard"] {
                for option in ["-w", "--report"] {
                    try relay(["-r", "\(folder)/in", "--to", "null", option, "\(folder)/\(name)"]).expect(
                        exits: 64, naming: [option, "\(folder)/\(name)", "\(folder)/in"])
                    #expect(try readFile("\(folder)/in") == bytes)
                }
            }
        }
    }

    @Test("SIGTERM ends a run whose input is a named pipe without a writer")
    func noWriter() throws {
        try withTemporaryDirectory { folder in
            try makePipe("\(folder)/pipe")
            let running = try RunningRelay(["-r", "\(folder)/pipe", "--to", "null"])
            try running.waitFor("segments lie on")
            usleep(50_000)
            running.child.send(signal: SIGTERM)
            let result = try running.finish(timeLimit: .seconds(20))
            result.expect(exits: 0)
            try expectLedger(result, captured: 0, encoded: 0)
        }
    }

    @Test("A signal ends a run that waits for a reader of the named pipe it writes to")
    func noReader() throws {
        try withTemporaryDirectory { folder in
            try makePipe("\(folder)/pipe")
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<100)))
            let running = try RunningRelay(["-r", "\(folder)/in", "-w", "\(folder)/pipe"])
            usleep(300_000)
            #expect(running.child.isRunning())
            running.child.send(signal: SIGTERM)
            #expect(try running.child.wait(timeLimit: .seconds(20)).status == .signalled(SIGTERM))
        }
    }

    @Test("A second signal ends a run whose output pipe nobody reads on from; what is lost is counted")
    func hangingReader() throws {
        try withTemporaryDirectory { folder in
            try makePipe("\(folder)/pipe")
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<5000)))
            let reader = unsafe open("\(folder)/pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC)
            guard reader >= 0 else { throw Unexpected("cannot open the named pipe") }
            defer { close(reader) }
            let running = try RunningRelay(["-r", "\(folder)/in", "-w", "\(folder)/pipe"])
            try running.waitFor("segments lie on")
            usleep(300_000)
            running.child.send(signal: SIGTERM)
            try running.waitFor("a second signal ends at once")
            running.child.send(signal: SIGTERM)
            let result = try running.finish(timeLimit: .seconds(20))
            let report = try expectLedger(result)
            #expect(try report.destination("\(folder)/pipe").losses["drain", default: 0] > 0)
        }
    }

    @Test("Closed standard streams are not mistaken for files of ours")
    func closed() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<100)))
            func shell(_ words: String) throws -> CommandResult {
                try TestSupport.run("sh", ["-c", "'\(try builtExecutable("spillway"))' run --memory 48M \(words)"])
            }
            let input = try shell("-r - --to null <&-")
            #expect(input.status == .exited(74) && input.errorText.contains("standard input"), "\(input.errorText)")
            let output = try shell("-r '\(folder)/in' -w - >&-")
            #expect(output.status == .exited(74), "\(output.errorText)")
            #expect(output.errorText.contains("Bad file descriptor"))
            let all = try shell("-r '\(folder)/in' -w '\(folder)/out' <&- >&- 2>&-")
            #expect(all.status == .exited(0))
            expectSame(try Stream(readFile("\(folder)/out")).packets, numberedPackets(0..<100))
        }
    }
}
