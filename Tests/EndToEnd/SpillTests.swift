import Glibc
import TestSupport
import Testing

@Suite("What memory cannot keep waits on disk")
struct SpillTests {
    private let packets = numberedPackets(0..<20_000, size: 1000)

    /// Four times the packets as input, which is more than memory holds.
    private func withInput(_ body: (_ folder: String, _ arguments: [String]) throws -> Void) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/in", captureFile(packets))
            try body(
                folder,
                (0..<4).flatMap { _ in ["-r", "\(folder)/in"] } + ["--spill", "\(folder)/cache", "--sync", "none"])
        }
    }

    private var all: [Packet] { packets + packets + packets + packets }

    @Test("Two readers that stand still, one of them from old to new: everything, in its order, and nothing is left")
    func stalled() throws {
        try withInput { folder, arguments in
            let (newest, oldest) = (
                try Reader(.stalled, receiveBuffer: 16_384), try Reader(.stalled, receiveBuffer: 16_384)
            )
            let running = try RunningRelay(
                arguments + ["--to", "\(newest.address),name=newest", "--memory-age", "1h"]
                    + ["--to", "\(oldest.address),name=oldest,order=oldest-first"])
            try waitForQuietCache("\(folder)/cache", bytes: 30 << 20)
            newest.set(.reading)
            oldest.set(.reading)
            let result = try running.finish(timeLimit: .seconds(60))
            result.expect(exits: 0)
            let report = try expectLedger(result, captured: 80_000, encoded: 80_000)
            for figure in ["spilled", "replayed"] {
                let each = try ["newest", "oldest"].map { try report.destination($0).count(figure) }
                #expect(try report.count(figure) == each.reduce(0, +))
            }
            for (name, reader) in [("newest", newest), ("oldest", oldest)] {
                try reader.waitForEnd()
                let destination = try report.destination(name)
                #expect(destination.losses.isEmpty)
                #expect(try destination.count("on_disk") == 0)
                #expect(try destination.count("spilled") > 20_000)
                #expect(try destination.count("replayed") == destination.count("spilled"))
            }
            let fromNew = try Stream(newest.streams.last ?? [])
            let fromOld = try Stream(oldest.streams.last ?? [])
            expectSame(fromNew.packets, all, "newest first")
            #expect(fromOld.packets == all)
            // Behind what was in the socket comes the newest of all, and from there on it only goes back.
            let arrivals = fromNew.batches.map(\.lastArrival)
            let turn = try #require(arrivals.firstIndex(of: arrivals.max()!))
            #expect(fromNew.batches[..<turn].reduce(0) { $0 + $1.packets.count } < 4000)
            #expect(zip(arrivals[turn...], arrivals[(turn + 1)...]).allSatisfy { $0 >= $1 })
            // What everybody has is on disk no more.
            #expect(try cacheFiles("\(folder)/cache").isEmpty)
        }
    }

    @Test(
        "One gets everything at once, the other nothing: it waits for that one, over a restart, and what was new goes first"
    )
    func restart() throws {
        try withInput { folder, arguments in
            let (quick, dead) = (try Reader(), try Reader(.stalled, receiveBuffer: 16_384))
            let first = try RunningRelay(
                arguments + ["--to", "\(quick.address),name=quick", "--to", "\(dead.address),name=dead"]
                    + ["--drain-timeout", "500ms"]
            ).finish()
            first.expect(exits: 69, naming: ["dead", "wait in the cache"])
            let before = try expectLedger(first, captured: 80_000, encoded: 80_000)
            try quick.waitForEnd()
            expectSame(try Stream(quick.streams[0]).packets, all)
            let left = try before.destination("dead").count("on_disk")
            #expect(left + (try before.destination("dead").count("delivered")) == 80_000)
            // So does the account that anybody can ask for.
            let shown = try run(builtExecutable("spillway"), ["inspect", "\(folder)/cache", "--json"]).checked()
            guard case .array(let owed) = try JSON(Array(shown.outputText.utf8))["owed"] else {
                throw Unexpected("no account of what is owed")
            }
            #expect(owed.map { $0["destination"] } == [.text("dead"), .text("quick")])
            #expect(owed.map { $0["packets"]?.count } == [left, 0])
            // Capture tools read what waits.
            let names = try cacheFiles("\(folder)/cache")
            let kept = try packetsOnDisk("\(folder)/cache")
            #expect(UInt64(kept.count) >= left)
            for name in names {
                let counted = try run("capinfos", ["-M", "-c", "\(folder)/cache/\(name)"]).checked()
                #expect(counted.errorText.isEmpty)
                if names.count == 1 { #expect(counted.outputText.contains("\(kept.count)")) }
            }
            try writeFile("\(folder)/new", captureFile(numberedPackets(20_000..<20_010, size: 1000)))
            let (again, late) = (try Reader(), try Reader())
            let second = try RunningRelay(
                ["-r", "\(folder)/new", "--spill", "\(folder)/cache", "--to", "\(again.address),name=quick"]
                    + ["--to", "\(late.address),name=dead"]
            ).finish()
            second.expect(exits: 0)
            let report = try expectLedger(second, captured: 10, encoded: 10)
            #expect(try report.destination("dead").count("carried_in") == left)
            #expect(try report.destination("quick").count("carried_in") == 0)
            try again.waitForEnd()
            try late.waitForEnd()
            #expect(try Stream(again.streams[0]).packets.map { number(of: $0) } == Array(20_000..<20_010))
            let parts = try sections(late.streams[0])
            expectSame(
                parts.flatMap(\.packets), kept.suffix(Int(left)) + numberedPackets(20_000..<20_010, size: 1000),
                "what was left")
            #expect(parts.count >= 2 && parts.allSatisfy { $0.interfaces.count == 1 })
            #expect(try cacheFiles("\(folder)/cache").isEmpty)
        }
    }

    @Test("Nobody takes anything, and patience is short: the files are read to their end all the same")
    func readOn() throws {
        try withInput { folder, arguments in
            let dead = try Reader(.stalled, receiveBuffer: 16_384)
            let result = try RunningRelay(
                arguments + arguments.prefix(8) + arguments.prefix(8) + ["--memory", "24M", "--drain-timeout", "50ms"]
                    + ["--to", "\(dead.address),name=dead"]
            ).finish()
            result.expect(exits: 69, naming: ["dead", "wait in the cache"])
            let report = try expectLedger(result, captured: 240_000, encoded: 240_000)
            #expect(try report.destination("dead").losses.isEmpty)
        }
    }

    @Test("The lock is removed under its owner: nobody else gets in, and it is made anew")
    func lockRemoved() throws {
        try withTemporaryDirectory { folder in
            let (arguments, lock) = (["-r", "-", "--to", "null", "--spill", "\(folder)/cache"], "\(folder)/cache/lock")
            let first = try RunningRelay(arguments + ["--name", "the-first"])
            try waitUntil("the lock") { (try? readFile(lock).count) ?? 0 > 0 }
            try #require(unsafe unlink(lock) == 0)
            try relay(arguments).expect(exits: 73, naming: ["\(folder)/cache", "in use by"])
            try first.waitFor("somebody has removed the lock")
            try relay(arguments).expect(exits: 73, naming: ["in use by", "the-first"])
            // The same where another file has taken its place.
            try writeFile("\(lock).new", [])
            try #require(unsafe rename("\(lock).new", lock) == 0)
            try relay(arguments).expect(exits: 73, naming: ["in use by"])
            try first.waitFor("somebody has removed the lock", times: 2)
            first.child.closeInput()
            _ = try first.finish()
            try relay(arguments).expect(exits: 65)
        }
    }

    @Test("A second relay is refused by the name of the first")
    func twoOwners() throws {
        try withTemporaryDirectory { folder in
            let arguments = ["-r", "-", "--to", "null", "--spill", "\(folder)/cache"]
            let first = try RunningRelay(arguments + ["--name", "the-first"])
            try waitUntil("the lock") { (try? readFile("\(folder)/cache/lock").count) ?? 0 > 0 }
            try relay(arguments).expect(exits: 73, naming: ["\(folder)/cache", "in use by", "the-first"])
            first.child.closeInput()
            _ = try first.finish()
            // The lock goes with its owner.
            try relay(arguments).expect(exits: 65)
        }
    }
}
