import Glibc
import TestSupport
import Testing

@Suite("A collector and its disk", .serialized)
struct StorageTests {
    @Test("A full disk stops acknowledging, corrupts nothing, and it goes on by itself when there is room")
    func fullDisk() throws {
        try requireRoot()
        try withTemporaryDirectory { folder in
            try TestSupport.run("mount", ["-t", "tmpfs", "-o", "size=6m", "none", folder]).checked()
            defer { _ = try? TestSupport.run("umount", ["-l", folder]) }
            try writeFile("\(folder)/ballast", [UInt8](repeating: 1, count: 4 << 20))
            let run = SampleRun(seed: 61)
            let batches = Deliveries.batches(run, 0..<400, packets: 4, length: 1400)
            let collector = try RunningCollector("\(folder)/out")
            let player = try #require(Player(port: collector.port))
            #expect(try player.open(batches))
            let bytes = Player.preamble(run) + batches.flatMap(\.bytes)
            let sender = SendingThread(player.connection, bytes)
            _ = try player.wait { _ in collector.child.errorText.contains("acknowledging stops") }
            let before = player.acknowledged.count
            #expect(before < batches.count)
            try unsafe #require(unlink("\(folder)/ballast") == 0)
            #expect(try player.waitAcknowledged(batches))
            sender.join()
            player.connection.send(Player.end(0))
            let report = try collector.stop()
            #expect((report["storage_stops"] ?? 0) > 0 && report["batches"] == 400)
            #expect(difference(try CollectedFile.all(in: "\(folder)/out"), batches) == nil)
        }
    }

    @Test("No room to finish files at the end: exit 74, it says how much waits, and the next start finishes it")
    func fullAtTheEnd() throws {
        try requireRoot()
        try withTemporaryDirectory { folder in
            try TestSupport.run("mount", ["-t", "tmpfs", "-o", "size=6m", "none", folder]).checked()
            defer { _ = try? TestSupport.run("umount", ["-l", folder]) }
            let batches = Deliveries.batches(SampleRun(seed: 63), 0..<100, packets: 4, length: 1400)
            let collector = try RunningCollector("\(folder)/out")
            #expect(try Deliveries.deliver(batches, to: collector.port, ends: false))
            // As much as there is room for.
            let ballast = try ChildProcess("dd", ["if=/dev/zero", "of=\(folder)/ballast", "bs=4k", "status=none"])
                .wait()
            #expect(ballast.status == .exited(1))
            collector.child.send(signal: SIGTERM)
            let result = try collector.child.wait()
            #expect(result.status == .exited(74), "\(result.errorText)")
            let text = result.errorText + result.outputText
            #expect(text.contains("400 acknowledged packets are in no file yet"), "\(text)")
            try unsafe #require(unlink("\(folder)/ballast") == 0)
            _ = try RunningCollector("\(folder)/out").stop()
            #expect(difference(try CollectedFile.all(in: "\(folder)/out"), batches) == nil)
        }
    }

    @Test("However little room there is, everything that was acknowledged can be made into files")
    func roomForFiles() throws {
        try requireRoot()
        try withTemporaryDirectory { folder in
            try TestSupport.run("mount", ["-t", "tmpfs", "-o", "size=4m", "none", folder]).checked()
            defer { _ = try? TestSupport.run("umount", ["-l", folder]) }
            // More than there can ever be room for, over several spans of time.
            let run = SampleRun(seed: 64)
            let batches = Deliveries.batches(run, 0..<1200, packets: 4, minutes: 3, length: 1400)
            let collector = try RunningCollector("\(folder)/out")
            let player = try #require(Player(port: collector.port))
            #expect(try player.open(batches))
            let sender = SendingThread(player.connection, Player.preamble(run) + batches.flatMap(\.bytes))
            _ = try player.wait { _ in collector.child.errorText.contains("acknowledging stops") }
            let report = try collector.stop()
            sender.join()
            // All that it took is in files, once, and that is at least what it acknowledged.
            let files = try CollectedFile.all(in: "\(folder)/out")
            let packets = files.flatMap(\.packets)
            #expect(UInt64(packets.count) == report["packets"] && Set(packets).count == packets.count)
            let acknowledged = batches.filter { player.acknowledged.contains($0.identity) }
            #expect(acknowledged.count < batches.count)
            #expect(difference(files, acknowledged)?.contains(" 0 missing") ?? true)
        }
    }

    @Test("A directory has one collector; a second one is refused by name")
    func oneOwner() throws {
        try withTemporaryDirectory { folder in
            let first = try RunningCollector("\(folder)/out")
            let second = try RunningCollector("\(folder)/out")
            let result = try second.child.wait()
            #expect(result.status == .exited(69))
            #expect(result.errorText.contains("in use by spillway") && result.errorText.contains("\(folder)/out"))
            _ = try first.stop()
        }
    }

    @Test("A file that somebody made under the wanted name is not replaced, and one that was taken away not made again")
    func foreignFiles() throws {
        try withTemporaryDirectory { folder in
            let run = SampleRun(seed: 62)
            let batches = Deliveries.batches(run, 0..<5)
            let out = "\(folder)/out"
            let first = try RunningCollector(out, crashAt: "sealSynced:1")
            #expect(try Deliveries.deliver(batches, to: first.port, ends: false))
            first.child.send(signal: SIGTERM)
            #expect(try first.child.wait().status == .signalled(SIGKILL))
            let wanted = "\(out)/s-EN10MB-20231114T221300Z.pcapng"
            try writeFile(wanted, [7, 7, 7])
            _ = try RunningCollector(out).stop()
            #expect(try readFile(wanted) == [7, 7, 7])
            try unsafe #require(unlink(wanted) == 0)
            #expect(difference(try CollectedFile.all(in: out), batches) == nil)

            let more = Deliveries.batches(run, 5..<9)
            let second = try RunningCollector(out, crashAt: "sealDirectorySynced:1")
            #expect(try Deliveries.deliver(more, to: second.port, ends: false))
            second.child.send(signal: SIGTERM)
            #expect(try second.child.wait().status == .signalled(SIGKILL))
            let files = try CollectedFile.all(in: out)
            #expect(difference(files, batches + more) == nil)
            for file in files { try unsafe #require(unlink("\(out)/\(file.name)") == 0) }
            let third = try RunningCollector(out)
            #expect(try Deliveries.deliver(batches + more, to: third.port))
            _ = try third.stop()
            #expect(try CollectedFile.all(in: out).isEmpty)
        }
    }
}

/// Sends bytes on a thread of its own, because the other side may take them only later.
final class SendingThread {
    private var thread = pthread_t()
    private final class Work {
        let connection: TestConnection, bytes: [UInt8]
        init(_ connection: TestConnection, _ bytes: [UInt8]) { (self.connection, self.bytes) = (connection, bytes) }
    }

    init(_ connection: TestConnection, _ bytes: [UInt8]) {
        let work = unsafe Unmanaged.passRetained(Work(connection, bytes))
        unsafe pthread_create(
            &thread, nil,
            { raw in
                let work = unsafe Unmanaged<Work>.fromOpaque(raw!).takeRetainedValue()
                work.connection.send(work.bytes)
                return nil
            }, work.toOpaque())
    }

    func join() { pthread_join(thread, nil) }
}
