import Admission
import Testing

@Suite("Which packets are admitted")
struct SelectorTests {
    @Test("Of every N in a row it is one", arguments: [1, 2, 3, 7, 64, 1000, 1024] as [UInt32])
    func oneInN(_ n: UInt32) {
        var selector = PacketSelector(seed: 1)
        for _ in 0..<2000 {
            var count = 0
            for _ in 0..<n where selector.admits(oneIn: n) { count += 1 }
            #expect(count == 1)
        }
    }

    @Test("Every phase of a periodic source is admitted equally often", arguments: [2, 3, 5, 8, 16, 100] as [UInt32])
    func uniform(_ n: UInt32) {
        for period in [n, 2 * n, n + 1, 60] {
            var selector = PacketSelector(seed: UInt64(period))
            var admitted = [Int](repeating: 0, count: Int(period))
            let rounds = 400 * Int(n)
            for _ in 0..<rounds {
                for phase in 0..<Int(period) where selector.admits(oneIn: n) { admitted[phase] += 1 }
            }
            // 400 are expected of each phase, the standard deviation is below 20; six of them happen to nobody.
            #expect(admitted.allSatisfy { abs($0 - 400) < 120 }, "\(admitted)")
        }
    }

    @Test("When N changes, the next packets follow the new one")
    func change() {
        var selector = PacketSelector(seed: 5)
        for _ in 0..<10 { _ = selector.admits(oneIn: 1000) }
        var count = 0
        for _ in 0..<4 where selector.admits(oneIn: 4) { count += 1 }
        #expect(count == 1)
        #expect((0..<10).allSatisfy { _ in selector.admits(oneIn: 1) })
    }

    @Test("Conversations admitted at one N are admitted at every smaller one, and are one in N")
    func flows() {
        var random = Numbers(seed: 9)
        let hashes = (0..<100_000).map { _ in UInt32(truncatingIfNeeded: random.next() >> 32) }
        for n in [1, 2, 3, 10, 100] as [UInt32] {
            let admitted = hashes.filter { FlowSelector.admits(hash: $0, oneIn: n) }
            let expected = 100_000 / Double(n)
            let error = abs(Double(admitted.count) - expected)
            #expect(error <= 6 * expected.squareRoot())
            for smaller in 1...n { #expect(admitted.allSatisfy { FlowSelector.admits(hash: $0, oneIn: smaller) }) }
        }
    }
}
