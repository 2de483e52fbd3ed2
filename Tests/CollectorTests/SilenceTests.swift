import Glibc
import TestSupport
import Testing

@Suite("Peers that say nothing any more, or take nothing")
struct SilenceTests {
    private static let run = SampleRun(seed: 71)

    @Test(
        "The collector says that it is alive; a relay that says nothing is taken for dead and counted, one that speaks is not"
    )
    func silent() throws {
        try withTemporaryDirectory { folder in
            let collector = try RunningCollector("\(folder)/out", silence: "900ms")
            let batches = Deliveries.batches(Self.run, 0..<40)
            let speaker = try #require(Player(port: collector.port, sensor: "speaks"))
            #expect(try speaker.open(batches))
            speaker.connection.send(Player.preamble(Self.run))
            let silent = try #require(Player(port: collector.port, sensor: "silent"))
            let others = Deliveries.batches(SampleRun(seed: 72), 0..<2)
            #expect(try silent.open(others))
            // One speaks from time to time, for more than twice as long as the other has.
            for batch in batches {
                speaker.connection.send(batch.bytes)
                usleep(50_000)
            }
            #expect(try speaker.waitAcknowledged(batches))
            _ = try silent.wait { $0.hasEnded }
            #expect(silent.emptyAcks >= 2 && silent.hasEnded && !speaker.hasEnded)
            speaker.connection.finish()
            let report = try collector.stop()
            #expect(report["silent"] == 1)
            #expect(difference(try CollectedFile.all(in: "\(folder)/out"), batches) == nil)
        }
    }

    @Test("A peer that takes nothing of what it is told is taken for dead, though it goes on sending")
    func deaf() throws {
        try withTemporaryDirectory { folder in
            let collector = try RunningCollector("\(folder)/out", silence: "900ms")
            let batch = Deliveries.batches(Self.run, 0..<1, packets: 1, length: 4)[0]
            let deaf = try #require(TestConnection(port: collector.port, receiveBuffer: 2048))
            deaf.send(
                Player.sectionHeader + Player.session(sensor: "deaf", destination: "d", runs: [Self.run])
                    + Player.list(Player.owed, Self.run, [], isLast: true) + Player.preamble(Self.run))
            let deadline = ContinuousClock.now + .seconds(60)
            // Each turn is acknowledged by itself; sooner or later nothing more fits on the way back.
            while !collector.child.errorText.contains("takes nothing"), ContinuousClock.now < deadline {
                deaf.send(batch.bytes)
            }
            #expect(collector.child.errorText.contains("takes nothing"))
            #expect(try collector.stop()["silent"] == 1)
        }
    }
}
