import Egress
import Glibc
import Machine
import SegmentPool
import TestSupport
import Testing

@Suite("Egress: collectors that are refused", .serialized, .timeLimit(.minutes(5)))
struct AckRefusalTests {
    private let token = (0..<32).map { UInt8($0 * 5) }

    /// Feeds a few packets, waits for `count` breaches, and ends; returns what the rig and the collector know.
    private func outcome(
        _ manners: CollectorManners, token: [UInt8]? = nil, breaches: UInt64 = 1
    ) throws -> (rig: EgressRig, state: CollectorState) {
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = RigOptions()
        (options.drainTimeout, options.token) = (300_000_000, token)
        let rig = try EgressRig([.to(collector)], options)
        try rig.feeder.feed(20, bytes: 500)
        rig.feeder.flush()
        try waitUntil("a breach") { rig.snapshot()[.protocolErrors] >= breaches }
        // What it was told is to arrive.
        usleep(50_000)
        try rig.finish()
        return (rig, collector.state)
    }

    private func ends(_ state: CollectorState) -> [UInt16] {
        state.controls.compactMap { if case .end(let code, _) = $0 { code } else { nil } }
    }

    @Test("With the same token on both sides everything flows")
    func token32() throws {
        var manners = CollectorManners()
        manners.token = token
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        var options = RigOptions()
        options.token = token
        let rig = try EgressRig([.to(collector)], options)
        try rig.feeder.feed(500, bytes: 500)
        try rig.finish()
        #expect(rig.compare(collector.state.packets).isNone)
        #expect(collector.state.violations == [])
        #expect(rig.snapshot()[.protocolErrors] == 0)
    }

    @Test("Another token, a wrong proof, a token on one side only: END 3, and not a byte of inventory or batches")
    func wrongTokens() throws {
        for (theirs, proves, mine) in [
            (token.map { $0 ^ 1 }, true, token), (token, false, token), (nil, true, token), (token, true, nil),
        ] as [([UInt8]?, Bool, [UInt8]?)] {
            var manners = CollectorManners()
            (manners.token, manners.proves) = (theirs, proves)
            let (rig, state) = try outcome(manners, token: mine)
            #expect(state.batches.isEmpty)
            #expect(!state.controls.contains { if case .ranges = $0 { true } else { false } })
            #expect(rig.snapshot()[.delivered] == 0 && rig.snapshot()[.droppedDrain] == 20)
            if theirs == token || theirs == nil { #expect(ends(state).contains(3)) }
        }
    }

    @Test("No common version: END 2")
    func versions() throws {
        var manners = CollectorManners()
        manners.versions = 2...9
        let (rig, state) = try outcome(manners)
        #expect(ends(state).contains(2))
        #expect(state.batches.isEmpty && rig.snapshot()[.droppedDrain] == 20)
        // A wider range that holds ours is fine.
        manners.versions = 1...9
        let collector = try ReferenceCollector(manners)
        defer { collector.stop() }
        let good = try EgressRig([.to(collector)])
        try good.feeder.feed(20, bytes: 500)
        try good.finish()
        #expect(good.compare(collector.state.packets).isNone)
    }

    @Test("What breaks the protocol ends the connection with its code and is counted; nothing is delivered by it")
    func hostile() throws {
        let run = [UInt8](repeating: 0, count: 16)
        let wild = ControlRanges(.ack, run: run, [0..<5])
        var longBlock = ByteWriter(.little)
        for word in [0x8053_5041, 0x7fff_fffc] as [UInt32] { longBlock.number(word) }
        var flipped = ControlMessage.ranges(ControlRanges(.ack, run: run)).bytes
        flipped[20] ^= 1
        for (bytes, code) in [
            // Another run, an unknown block of a type that only a relay sends, lengths, checksums, an answer out of place.
            (ControlMessage.ranges(wild).bytes, 6), (ControlMessage.ranges(ControlRanges(.owed, run: run)).bytes, 6),
            (longBlock.bytes, 5), ([UInt8](repeating: 0, count: 12), 6), (flipped, 6),
            (ControlMessage.proof(run + run).bytes, 6), (ControlMessage.hello(challenge: run + run).bytes, 6),
        ] as [([UInt8], UInt16)] {
            var manners = CollectorManners()
            (manners.acks, manners.says, manners.tellsWhatItHas) = (.never, bytes, false)
            let (rig, state) = try outcome(manners)
            #expect(ends(state).contains(code), "\(code) for \(bytes.prefix(8))")
            #expect(rig.snapshot()[.delivered] == 0 && rig.snapshot()[.droppedDrain] == 20)
        }
    }

    @Test("A collector that acknowledges batches that never were is a liar; the worker or lane may be the lie, too")
    func liar() throws {
        for (worker, lane, range) in [(0, 0, 0..<1000), (0, 0, 1000..<1001), (7, 0, 0..<1), (0, 300, 0..<1)]
            as [(UInt16, UInt16, Range<UInt64>)]
        {
            let listener = try TestListener()
            var options = RigOptions()
            (options.drainTimeout, options.batch.packets) = (300_000_000, 1)
            var plan = DestinationPlan.to(listener)
            plan.ack = .required
            let rig = try EgressRig([plan], options)
            try rig.feeder.feed(20, bytes: 100)
            rig.feeder.flush()
            try rig.waitUntilAssigned()
            let reader = try listener.accept()
            func say(_ bytes: [UInt8]) {
                _ = unsafe bytes.withUnsafeBytes { unsafe write(reader.descriptor, $0.baseAddress!, $0.count) }
            }
            var section = ByteWriter(.little)
            for word in [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, .max, .max, 28] as [UInt32] { section.number(word) }
            say(section.bytes + ControlMessage.hello(challenge: [UInt8](repeating: 0, count: 32)).bytes)
            try waitUntil("the inventory") {
                reader.read(milliseconds: 20)
                return try reader.stream().controls.count >= 2
            }
            guard case .ranges(let owed) = try #require(try reader.stream().controls.last) else {
                throw RigProblem("no inventory")
            }
            #expect(owed.ranges == [0..<20] && owed.mark == 20 && owed.isLast)
            say(ControlMessage.ranges(ControlRanges(.have, run: owed.run, flags: 1)).bytes)
            try reader.read(batches: 20)
            say(
                ControlMessage.ranges(
                    ControlRanges(.ack, run: owed.run, worker: worker, lane: lane, [range])
                ).bytes)
            try waitUntil("the breach") { rig.snapshot()[.protocolErrors] == 1 }
            #expect(rig.snapshot()[.delivered] == 0)
            reader.close()
            try rig.finish()
        }
    }

    @Test("Refused again and again, a run of files ends when its patience is over, whoever refuses how")
    func refusedForEver() throws {
        for code in [2, 3, 4, 6] as [UInt16] {
            var manners = CollectorManners()
            (manners.acks, manners.tellsWhatItHas) = (.never, false)
            manners.says = ControlMessage.end(code: code, text: "no").bytes
            let collector = try ReferenceCollector(manners)
            defer { collector.stop() }
            var options = RigOptions()
            (options.isFileInput, options.drainTimeout) = (true, 500_000_000)
            let rig = try EgressRig([.to(collector)], options)
            try rig.feeder.feed(20, bytes: 500)
            // It comes back every 25 to 50 ms. The rig waits for its end.
            try rig.finish()
            #expect(rig.snapshot()[.connects] > 4)
            #expect(rig.snapshot()[.delivered] == 0 && rig.snapshot()[.droppedUnreachable] == 20)
        }
    }

    @Test("An END of the other side is obeyed, told to people, and what was not acknowledged stays owed")
    func endOfTheOther() throws {
        var manners = CollectorManners()
        (manners.acks, manners.tellsWhatItHas) = (.never, false)
        manners.says = ControlMessage.end(code: 4, text: "that run is another's").bytes
        let (rig, _) = try outcome(manners)
        #expect(rig.log.all.contains { $0.contains("refused") && $0.contains("that run is another's") })
        #expect(rig.snapshot()[.droppedDrain] == 20)
    }
}
