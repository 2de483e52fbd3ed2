import Pcapng
import SpillCache
import Testing

@Suite("Which cache files go first when room ends")
struct EvictionTests {
    /// Files with their last arrivals, and to whom each is owed; destination 1 is down.
    private static let files: [(arrival: UInt64, owed: [Int])] = [
        (10, [0]), (20, [1]), (30, []), (40, [0, 1]), (50, [1]), (60, []), (70, [0]), (80, [1]),
    ]

    private func catalogue() throws -> Catalogue {
        let catalogue = try Catalogue(claimants: 2)
        for (number, file) in Self.files.enumerated() {
            let place = try #require(
                catalogue.begin(run: CacheRig.owner, number: UInt64(number), start: 0, descriptor: -1))
            let batch = DiskBatch(
                offset: 0, arrival: file.arrival, number: UInt64(number), bytes: 1000, packets: 7, worker: 0, lane: 0)
            let disk = catalogue.append(batch, to: place)
            for claimant in file.owed { catalogue.owe(claimant, disk, packets: 7, isUnsent: true) }
            catalogue.close(place)
        }
        return catalogue
    }

    /// The numbers of the files in the order in which they go.
    private func order(down: UInt64) throws -> [UInt64] {
        let catalogue = try catalogue()
        var order: [UInt64] = []
        var owed: [UInt64] = [21, 28]
        while let place = catalogue.oldestToExpire(down: down) {
            let number = catalogue[file: place].number
            order.append(number)
            // Exactly what was owed of it is let go of, of each destination.
            for claimant in 0..<2 {
                let packets = catalogue.release(claimant, place)
                #expect(packets == (Self.files[Int(number)].owed.contains(claimant) ? 7 : 0))
                owed[claimant] -= packets
                #expect(catalogue.owedPackets(claimant) == owed[claimant])
            }
            catalogue.remove(place)
        }
        #expect(catalogue.fileCount == 0 && catalogue.byteCount == 0)
        return order
    }

    @Test("Owed to nobody, owed only to destinations that are down, then the oldest of all; an open file never")
    func order() throws {
        #expect(try order(down: 0b10) == [2, 5, 1, 4, 7, 0, 3, 6])
        #expect(try order(down: 0b00) == [2, 5, 0, 1, 3, 4, 6, 7])
        #expect(try order(down: 0b11) == [2, 5, 0, 1, 3, 4, 6, 7])
        #expect(try order(down: 0b01) == [2, 5, 0, 6, 1, 3, 4, 7])
        let catalogue = try Catalogue(claimants: 1)
        _ = catalogue.begin(run: CacheRig.owner, number: 0, start: 0, descriptor: -1)
        #expect(catalogue.oldestToExpire(down: 0) == nil)
    }
}
