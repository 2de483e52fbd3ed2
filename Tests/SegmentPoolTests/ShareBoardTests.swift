import SegmentPool
import Testing

@Suite("Shares of destinations")
struct ShareBoardTests {
    /// How often each lane comes in so many turns.
    private func turns(_ board: ShareBoard, _ count: Int) -> [UInt16: Int] {
        var turn = 0
        return (0..<count).reduce(into: [:]) { lanes, _ in lanes[board.nextLane(&turn), default: 0] += 1 }
    }

    @Test("By turns each gets exactly its part, and never much more than that in a row")
    func weights() {
        let board = ShareBoard(shares: 3)
        board.publish([(0, 5), (1, 1), (2, 2)])
        #expect(turns(board, 800) == [1: 500, 2: 100, 3: 200])
        var turn = 0
        let lanes = (0..<800).map { _ in board.nextLane(&turn) }
        // In any eight turns in a row each comes as often as its part says, or once more or less.
        for start in 0..<790 {
            let eight = lanes[start..<start + 8]
            for (lane, part) in [(UInt16(1), 5), (2, 1), (3, 2)] {
                #expect(abs(eight.count { $0 == lane } - part) <= 1)
            }
        }
    }

    @Test("By flow a hash keeps its place while others come and go, and parts are as they should be")
    func flow() {
        let board = ShareBoard(shares: 3, rule: .byFlow)
        let shares = [(place: 0, share: 1), (place: 1, share: 1), (place: 2, share: 2)]
        board.publish(shares)
        let hashes = (0..<40_000).map { UInt32(truncatingIfNeeded: $0 &* 107_374) }
        let before = hashes.map(board.place(ofHash:))
        let parts = (0..<3).map { place in Double(before.count { $0 == place }) / 40_000 }
        for (part, wanted) in zip(parts, [0.25, 0.25, 0.5]) { #expect(abs(part - wanted) < 0.005) }
        // The second is lost: its hashes go to the third alone, all others stay.
        board.publish(shares, target: [1: 2])
        for (hash, place) in zip(hashes, before) { #expect(board.place(ofHash: hash) == (place == 1 ? 2 : place)) }
        board.publish(shares)
        #expect(hashes.map(board.place(ofHash:)) == before)
        #expect(board.place(ofHash: 0) < 3 && board.place(ofHash: .max) < 3)
    }

    @Test("Nobody to share among, spare places, and the greatest board")
    func bounds() {
        var turn = 0
        #expect(ShareBoard(shares: 0).nextLane(&turn) == 0)
        let spare = ShareBoard(shares: 1, spare: 2, rule: .byFlow)
        #expect(spare.openBatches == 3)
        #expect((0..<100).allSatisfy { spare.place(ofHash: UInt32($0) << 24) == 0 })
        spare.setLane(9, of: 2)
        spare.publish([(2, 16)])
        #expect(spare.lane(of: spare.place(ofHash: 77)) == 9)
        // As it was, where nobody is left.
        spare.publish([])
        #expect(spare.place(ofHash: 77) == 2)
        let all = ShareBoard(shares: 64)
        all.publish((0..<64).map { ($0, 16) })
        #expect(turns(all, 1024) == Dictionary(uniqueKeysWithValues: (1...64).map { (UInt16($0), 16) }))
    }
}
