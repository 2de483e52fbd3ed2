import Glibc
import TestSupport
import Testing

@Suite("Exit codes of a run, and its death")
struct ExitTests {
    private func withInput(_ count: Int = 100, _ body: (_ folder: String, _ path: String) throws -> Void) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(numberedPackets(0..<count)))
            try body(folder, "\(folder)/in")
        }
    }

    @Test("64: a filter that is none, CPUs that are not there, a memory too small")
    func usage() throws {
        try withInput { _, path in
            try relay(["-r", path, "--to", "null", "-f", "no such filter"]).expect(
                exits: 64, naming: ["-f no such filter"])
            try relay(["-r", path, "--to", "null", "--egress-cpus", "1000"]).expect(
                exits: 64, naming: ["--egress-cpus"])
            try relay(["-r", path, "--to", "null", "--memory", "2M"]).expect(exits: 64, naming: ["--memory 2M"])
            let many = (0..<65).flatMap { ["--to", "127.0.0.1:9,name=d\($0)"] }
            try relay(["-r", path, "--memory", "512M"] + many).expect(exits: 64, naming: ["--to", "65 destinations"])
        }
    }

    @Test("69: a name that does not exist")
    func unknownHost() throws {
        try withInput { _, path in
            try relay(["-r", path, "--to", "no-such-host.invalid:57012"]).expect(
                exits: 69, naming: ["no-such-host.invalid"])
        }
    }

    @Test("71 or 77: an address that cannot be listened on, --listen and --metrics")
    func cannotListen() throws {
        let taken = try Reader()
        try withInput { _, path in
            for option in ["--listen", "--metrics"] {
                try relay(["-r", path, "--to", "null", option, taken.address]).expect(
                    exits: 71, naming: [option, taken.address, "in use"])
                try requireRoot()
                try relay(["-r", path, "--to", "null", option, "127.0.0.1:7"], unprivileged: true).expect(
                    exits: 77, naming: [option])
            }
        }
    }

    @Test("73: -w that cannot be created")
    func cannotCreate() throws {
        try withInput { folder, path in
            try relay(["-r", path, "-w", "\(folder)/none/out"]).expect(
                exits: 73, naming: ["-w", "\(folder)/none/out", "No such file"])
        }
    }

    @Test("74: the disk of -w is full; the file stays valid, the loss is counted, others get everything")
    func diskFull() throws {
        try requireRoot()
        try requireTool("tshark")
        try withInput(20_000) { folder, path in
            let disk = "\(folder)/disk"
            guard unsafe mkdir(disk, 0o700) == 0 else { throw Unexpected("cannot make \(disk)") }
            let mounted = try run("mount", ["-t", "tmpfs", "-o", "size=1M", "none", disk])
            try require(mounted.status == .exited(0), orSkip: "no tmpfs can be mounted: \(mounted.errorText)")
            defer { _ = try? run("umount", [disk]) }
            let reader = try Reader()
            let result = try relay(["-r", path, "-w", "\(disk)/out", "--to", reader.address])
            result.expect(exits: 74, naming: ["-w", "\(disk)/out", "No space left"])
            let report = try expectLedger(result, captured: 20_000, encoded: 20_000)
            let file = try report.destination("\(disk)/out")
            let stream = try Stream(readFile("\(disk)/out"))
            #expect(stream.rest == 0 && stream.packets.count > 1000)
            #expect(try file.count("delivered") == UInt64(stream.packets.count))
            #expect(file.losses == ["write": 20_000 - UInt64(stream.packets.count)])
            #expect(Set(stream.packets).isSubset(of: Set(numberedPackets(0..<20_000))))
            expectSame(try packetsByTshark("\(disk)/out"), stream.packets)
            try reader.waitForEnd()
            expectSame(try Stream(reader.streams[0]).packets, numberedPackets(0..<20_000))
        }
    }

    @Test("Killed at any moment: the reader's stream is valid up to its last whole block, for tcpdump too")
    func killed() throws {
        try requireTool("tcpdump")
        try withInput(30_000) { folder, path in
            let packets = Set(numberedPackets(0..<30_000))
            for round in 0..<8 {
                let reader = try Reader()
                let running = try RunningRelay(["-r", path, "--pace", "60Kpps", "--to", reader.address])
                try running.waitFor("connected to")
                usleep(useconds_t.random(in: 1000...300_000))
                running.child.send(signal: SIGKILL)
                _ = try running.child.wait()
                try reader.waitForEnd()
                let bytes = reader.streams[0]
                let stream = try Stream(bytes)
                #expect(Set(stream.packets).isSubset(of: packets))
                #expect(Set(stream.packets).count == stream.packets.count)
                guard stream.sections > 0, !stream.interfaces.isEmpty else { continue }
                // With its torn end: what is whole comes out, and then they complain.
                try writeFile("\(folder)/out", bytes)
                _ = try run("tcpdump", ["-r", "\(folder)/out", "--nano", "-Z", "root", "-w", "\(folder)/\(round)"])
                expectSame(try classicPackets(readFile("\(folder)/\(round)")), stream.packets, "tcpdump")
            }
        }
    }

    @Test("SIGTERM ends a run that waits for its input, and one that waits for its first reader")
    func stopWaiting() throws {
        let reader = try Reader()
        let running = try RunningRelay(["-r", "-", "--to", reader.address])
        let bytes = captureFile(numberedPackets(0..<100))
        try running.child.writeInput(Array(bytes.dropLast(10)))
        try waitUntil("the first packets") { try reader.streams.first.map { try Stream($0).packets.count } == 99 }
        let result = try stop(running)
        result.expect(exits: 0)
        try expectLedger(result, captured: 99, encoded: 99)
        try reader.waitForEnd()
        expectSame(try Stream(reader.streams[0]).packets, numberedPackets(0..<99))
        try withInput { _, path in
            let waiting = try RunningRelay(["-r", path, "--listen", "127.0.0.1:0"])
            _ = try waiting.port()
            usleep(50_000)
            let result = try stop(waiting)
            result.expect(exits: 0)
            try expectLedger(result, captured: 0, encoded: 0)
        }
    }

    @Test("SIGTERM in a file: what was read is delivered, and it is a beginning without gaps")
    func stopReading() throws {
        try withInput(30_000) { _, path in
            let reader = try Reader()
            let running = try RunningRelay(["-r", path, "--pace", "20Kpps", "--to", reader.address])
            try waitUntil("the first bytes") { reader.byteCount > 10_000 }
            let result = try stop(running)
            result.expect(exits: 0)
            let report = try expectLedger(result)
            try reader.waitForEnd()
            let numbers = Set(try Stream(reader.streams[0]).packets.map { number(of: $0) })
            #expect(numbers == Set(0..<Int(try report.count("encoded"))) && numbers.count < 30_000)
        }
    }
}
