import Machine
import Synchronization
import Testing

@Suite("Counters", .timeLimit(.minutes(5)))
struct CounterTests {
    @Test("The index of a counter is its raw value and its place in the list")
    func index() {
        for (place, counter) in Counter.allCases.enumerated() {
            #expect(counter.index == place)
            #expect(Int(counter.rawValue) == place)
        }
    }

    @Test("Every counter has a line of its own in the table")
    func table() {
        struct Key: Hashable {
            let scope: Counter.Scope
            let report: String
            let reason: String?
        }
        var keys: Set<Key> = []
        var helps: Set<String> = []
        for counter in Counter.allCases {
            let entry = counter.entry
            let key = Key(scope: entry.scope, report: entry.report, reason: entry.reason)
            #expect(keys.insert(key).inserted, "\(key) twice")
            #expect(!entry.help.isEmpty && !entry.help.contains("\n"))
            #expect(helps.insert(entry.help).inserted, "two counters are explained alike: \(entry.help)")
            // A reason belongs to what is dropped, filtered or not put together, a name of the kernel to its own figures.
            let named = ["dropped", "filtered", "unassembled", "xdp_statistics"]
            #expect((entry.reason != nil) == named.contains(entry.report))
            // Names that the formats of the report and of Prometheus allow, without prefix and suffix.
            for name in [entry.report, entry.metric] + (entry.reason.map { [$0] } ?? []) {
                #expect(name.wholeMatch(of: /[a-z][a-z_]*[a-z]/) != nil, "\(name)")
                #expect(!name.hasPrefix("spillway") && !name.hasSuffix("_total"))
            }
        }
    }

    @Test("Counters that share a metric name differ by reason or scope and are of one kind")
    func metrics() {
        for (metric, counters) in Dictionary(grouping: Counter.allCases, by: \.entry.metric) {
            guard counters.count > 1 else { continue }
            #expect(counters.allSatisfy { $0.entry.reason != nil }, "\(metric)")
            #expect(Set(counters.map(\.entry.isGauge)).count == 1)
            #expect(Set(counters.map { $0.entry.scope == .destination }).count == 1, "\(metric)")
        }
    }

    @Test("The names of the ledger and of the report of section 11 of the design")
    func names() {
        func names(_ scope: Counter.Scope) -> Set<String> {
            var names: Set<String> = []
            for entry in Counter.allCases.map(\.entry) where entry.scope == scope {
                if let reason = entry.reason {
                    names.insert("\(entry.report){\(reason)}")
                } else {
                    names.insert(entry.report)
                }
            }
            return names
        }
        #expect(names(.capture).isSuperset(of: ["captured", "dropped{kernel}", "dropped{ring}"]))
        #expect(
            names(.worker).isSuperset(of: [
                "received", "received_bytes", "merged", "reassembled", "in_worker", "encoded", "batches",
                "filtered{expression}", "filtered{own}", "filtered{count}", "dropped{pool_full}",
                "unassembled{timeout}",
            ]))
        #expect(
            names(.destination).isSuperset(of: [
                "carried_in", "assigned", "taken_over", "handed_over", "delivered", "delivered_bytes", "in_memory",
                "on_disk", "expired", "reconnects", "dropped{evicted}", "dropped{behind}", "dropped{drain}",
                "dropped{unreachable}", "dropped{write}", "dropped{left}",
            ]))
    }

    @Test("Adding, taking and setting; others see it when it is published; sums by name")
    func values() throws {
        let counters = try Counters()
        counters.add(.received)
        counters.add(.received, 41)
        counters.set(.inMemory, 100)
        counters.subtract(.inMemory, 30)
        #expect(counters.value(.received) == 42)
        #expect(counters.snapshot() == CounterSnapshot())
        counters.publish()
        var expected = CounterSnapshot()
        expected[.received] = 42
        expected[.inMemory] = 70
        #expect(counters.snapshot() == expected)
        for counter in Counter.allCases { counters.set(counter, UInt64(counter.rawValue) + 1) }
        counters.publish()
        let snapshot = counters.snapshot()
        for counter in Counter.allCases {
            #expect(snapshot[counter] == UInt64(counter.rawValue) + 1)
            let times: UInt64 = counter == .longestReassembly ? 1 : 2
            #expect((snapshot + snapshot)[counter] == times * (UInt64(counter.rawValue) + 1))
        }
        for scope in Counter.Scope.allCases {
            // By the names of the cases, which the sums do not look at.
            let dropped = Counter.allCases.filter { $0.entry.scope == scope && "\($0)".hasPrefix("dropped") }
            #expect(!dropped.isEmpty)
            #expect(snapshot.sum("dropped", scope: scope) == dropped.reduce(0) { $0 + snapshot[$1] })
        }
    }

    private final class Joined {
        private var thread: PinnedThread?
        init(_ thread: consuming PinnedThread) { self.thread = consume thread }
        func join() { if let thread = thread.take() { thread.join() } }
    }

    @Test("A snapshot is of one moment: counters that always change together never differ in it")
    func neverTorn() throws {
        let counters = try Counters()
        let stop = StopFlag()
        let first = try #require(Counter.allCases.first)
        let last = try #require(Counter.allCases.last)
        let thread = try PinnedThread(name: "writer", cpus: nil) {
            var amount: UInt64 = 1
            while !stop.isSet {
                // As in a worker, more is counted than published, so that there are moments at which a snapshot succeeds.
                for _ in 0..<50 {
                    amount = amount % 1000 + 1
                    counters.add(first, amount)
                    counters.add(.inMemory, amount)
                    counters.add(last, amount)
                }
                counters.publish()
            }
        }
        // More threads than processors, so that the writer is often stopped in the middle of publishing.
        let others = try (0..<3).map { _ in
            Joined(try PinnedThread(name: "load", cpus: nil) { while !stop.isSet {} })
        }
        var (torn, backwards, before, different): (Int, Int, UInt64, Set<UInt64>) = (0, 0, 0, [])
        let deadline = ContinuousClock.now + .seconds(40)
        while different.count < 300, ContinuousClock.now < deadline {
            let snapshot = counters.snapshot()
            if Set([snapshot[first], snapshot[.inMemory], snapshot[last]]).count != 1 { torn += 1 }
            if snapshot[first] < before { backwards += 1 }
            before = snapshot[first]
            different.insert(before)
        }
        stop.set()
        thread.join()
        for other in others { other.join() }
        #expect([torn, backwards] == [0, 0])
        // 300 on an idle machine; on a busy one the time is over first. A few show that the two sides met.
        #expect(different.count > 10)
        counters.publish()
        #expect(counters.snapshot()[first] == counters.value(first))
    }
}
