import Glibc
import Pcapng
import SpillCache
import TestSupport
import Testing

@Suite("A cache of more runs than a collector takes", .serialized)
struct ManyRunsTests {
    @Test("Who was away while the relay was started a thousand times gets everything once, in several sessions")
    func away() throws {
        try withTemporaryDirectory(in: DamageTests.memory) { folder in
            let runs = (0..<1030).map { SampleRun(seed: 1000 + $0) }
            let directory = try DirectoryHandle("\(folder)/cache", creating: true)
            for (number, run) in runs.enumerated() {
                let name = CacheFileName(
                    start: CacheRig.window.lowerBound, run: CacheRig.identity(run), number: 0)
                let plan = CacheFilePlan(
                    kind: .spill, name: name, sensor: "sensor.a", linkType: 1, window: CacheRig.window,
                    reservation: 1 << 12, application: "test")
                var writer = try CacheFileWriter(plan, in: directory)
                try CacheRig.append([CacheSample.batch([UInt64(number)], run: run, number: 0)], to: &writer)
                try writer.seal(durably: false)
            }
            // One packet that comes now.
            var now = ClassicBuilder(.nanoseconds, linkTypeWord: 1)
            now.packet(seconds: 1_800_000_000, fraction: 0, sampleBytes(60, seed: 1), original: 60)
            try writeFile("\(folder)/now.pcap", now.built("").bytes)
            let collector = try ReferenceCollector()
            defer { collector.stop() }
            let result = try run(
                builtExecutable("spillway"),
                [
                    "run", "-r", "\(folder)/now.pcap", "--name", "sensor.a", "--spill", "\(folder)/cache", "--memory",
                    "64M", "--to", "127.0.0.1:\(collector.port),name=it,ack=required",
                ], timeLimit: .seconds(60))
            #expect(result.status == .exited(0), "\(result.errorText)")
            let state = collector.state
            #expect(state.violations.isEmpty && state.duplicates == 0)
            #expect(Set(state.order.map(\.run)).isSuperset(of: runs.map(\.identity)))
            #expect(state.order.count == 1031)
            // As format.md has it ("Limits").
            for inventory in inventories(state) { #expect(inventory.count <= 1024) }
            #expect(inventories(state).count > 1)
            #expect(try directoryEntries("\(folder)/cache").filter { $0.contains(".pcapng") }.isEmpty)
        }
    }

    /// The runs of each session's inventory.
    private func inventories(_ state: CollectorState) -> [Set<[UInt8]>] {
        var found: [Set<[UInt8]>] = []
        for message in state.controls {
            switch message {
            case .session: found.append([])
            case .ranges(let ranges) where ranges.kind == .owed: found[found.count - 1].insert(ranges.run)
            default: break
            }
        }
        return found
    }
}
