import Egress
import Glibc
import Machine
import Pcapng
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: files", .serialized, .timeLimit(.minutes(5)))
struct FileTests {
    /// Runs `body` with a new, empty, open file.
    private func withFile(in folder: String, _ body: (Int32, _ path: String) throws -> Void) throws {
        let path = "\(folder)/out"
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        #expect(descriptor >= 0)
        defer { close(descriptor) }
        try body(descriptor, path)
    }

    /// Runs `body` with a folder on a file system of its own of so many KiB.
    private func withSmallDisk(_ kibibytes: Int, _ body: (String) throws -> Void) throws {
        try requireRoot()
        try withTemporaryDirectory { folder in
            let mounted = unsafe mount("none", folder, "tmpfs", 0, "size=\(kibibytes)k")
            try require(mounted == 0, orSkip: "cannot mount a tmpfs")
            defer { unsafe umount2(folder, Int32(MNT_DETACH)) }
            try body(folder)
        }
    }

    @Test("A file holds everything in capture order, beside a destination that is newest first", arguments: [1, 2])
    func captureOrder(workers: Int) throws {
        try requireTool("tshark")
        let listener = try TestListener()
        try withTemporaryDirectory { folder in
            try withFile(in: folder) { descriptor, path in
                var options = RigOptions()
                (options.isFileInput, options.workers, options.segments) = (true, workers, 7)
                let rig = try EgressRig([.file(descriptor, path, holds: true), .to(listener)], options)
                let reader = try BackgroundReader(try listener.accept())
                try rig.feeder.feed(300, bytes: 1500)
                _ = rig.registry.register(EgressRig.interface("eth1"))
                for feeder in rig.feeders { try feeder.feed(300, bytes: 1500, interface: 1) }
                let outcomes = try rig.finish()
                #expect(outcomes.map(\.fileFailure) == [0, 0])
                #expect(rig.compare(try reader.finish()).isNone)
                let stream = try ParsedStream(try readFile(path))
                #expect(rig.compare(stream).isNone)
                #expect(stream.rest == 0)
                for worker in 0..<workers {
                    let numbers = stream.batches.filter { Int($0.worker) == worker }.map(\.number)
                    #expect(numbers == numbers.sorted())
                }
                #expect(stream.interfaces.map(\.name) == ["eth0", "eth1"])
                guard case .statistics(1, _) = stream.items.last else { throw RigProblem("no statistics") }
                #expect(rig.snapshot(0)[.delivered] == UInt64(rig.fed.count))
                #expect(
                    rig.snapshot(0)[.deliveredBytes] == UInt64(stream.batches.reduce(0) { $0 + $1.bytes.count }))
                let others = try tsharkPackets(path, interfacesPerSection: [2])
                #expect(PacketDifference(others, expected: stream.packets).isNone)
            }
        }
    }

    @Test("A run without packets leaves a valid file")
    func empty() throws {
        try withTemporaryDirectory { folder in
            try withFile(in: folder) { descriptor, path in
                let rig = try EgressRig([.file(descriptor, path, holds: true)])
                try rig.finish()
                let stream = try ParsedStream(try readFile(path))
                #expect(stream.items.count == 4)
                #expect(stream.rest == 0)
            }
        }
    }

    @Test("A full disk loses what it cannot hold, says so, and leaves a valid file")
    func fullDisk() throws {
        try withSmallDisk(1024) { folder in
            try withFile(in: folder) { descriptor, path in
                var options = RigOptions()
                options.isFileInput = true
                let rig = try EgressRig([.file(descriptor, path, holds: true)], options)
                try rig.feeder.feed(3000, bytes: 1000)
                let outcomes = try rig.finish()
                #expect(outcomes[0].fileFailure == ENOSPC)
                let stream = try ParsedStream(try readFile(path))
                let difference = rig.compare(stream)
                #expect(stream.rest == 0)
                #expect(!stream.packets.isEmpty)
                #expect(!difference.missing.isEmpty)
                #expect(rig.snapshot()[.droppedWrite] == UInt64(difference.missing.count))
                #expect(rig.snapshot()[.delivered] == UInt64(stream.packets.count))
            }
        }
    }

    @Test("Space that comes back does not bring records of interfaces that are not in the file")
    func missingDescription() throws {
        try withSmallDisk(1024) { folder in
            try withFile(in: folder) { descriptor, path in
                let ballast = "\(folder)/ballast"
                try writeFile(ballast, [UInt8](repeating: 1, count: 700 << 10))
                let rig = try EgressRig([.file(descriptor, path, holds: true)])
                try rig.feeder.feed(500, bytes: 1000)
                rig.feeder.flush()
                try waitUntil("a full disk") { rig.snapshot()[.droppedWrite] > 0 }
                for number in 0..<500 { _ = rig.registry.register(EgressRig.interface("a long name \(number)")) }
                try rig.feeder.feed(10, bytes: 1000, interface: 500)
                rig.feeder.flush()
                try waitUntil("still full") { rig.snapshot()[.inMemory] == 0 && rig.snapshot()[.assigned] == 510 }
                removeTree(ballast)
                try rig.feeder.feed(10, bytes: 1000, interface: 500)
                let outcomes = try rig.finish()
                #expect(outcomes[0].fileFailure == ENOSPC)
                // The parser refuses a record whose interface is not described.
                let stream = try ParsedStream(try readFile(path))
                #expect(stream.rest == 0)
                #expect(rig.snapshot()[.droppedWrite] == UInt64(rig.compare(stream).missing.count))
            }
        }
    }

    @Test("A device that takes nothing: everything is lost by name, and sockets do not care")
    func fullDevice() throws {
        let listener = try TestListener()
        let descriptor = unsafe open("/dev/full", O_WRONLY | O_CLOEXEC)
        try require(descriptor >= 0, orSkip: "there is no /dev/full")
        defer { close(descriptor) }
        let rig = try EgressRig([.file(descriptor, "/dev/full", holds: true), .to(listener)])
        let reader = try BackgroundReader(try listener.accept())
        try rig.feeder.feed(300, bytes: 1000)
        let outcomes = try rig.finish()
        #expect(outcomes[0].fileFailure == ENOSPC)
        #expect(rig.snapshot(0)[.droppedWrite] == 300)
        #expect(rig.compare(try reader.finish()).isNone)
    }

    @Test("A pipe whose reader goes away ends with an error, not with a signal")
    func brokenPipe() throws {
        var ends: [Int32] = [-1, -1]
        #expect(unsafe pipe(&ends) == 0)
        defer { close(ends[1]) }
        close(ends[0])
        let rig = try EgressRig([.file(ends[1], "-", holds: true)])
        try rig.feeder.feed(300, bytes: 1000)
        let outcomes = try rig.finish()
        #expect(outcomes[0].fileFailure == EPIPE)
        #expect(rig.snapshot()[.droppedWrite] == 300)
    }
}
