import Machine
import Reassembly
import TestSupport
import Testing

@Suite("Fragments in every order", .timeLimit(.minutes(5)))
struct OrderTests {
    @Test(
        "Every order of up to 6 fragments gives the datagram, with the last fragment and not before", arguments: [4, 6])
    func everyOrder(_ version: Int) throws {
        let rig = try Rig()
        var identification: UInt32 = 0
        for count in 2...6 {
            // Unequal pieces, the last of any length.
            var sample = Sample(size: [24, 8, 40, 16, 600, 13].prefix(count - 1).reduce(0, +) + 13, version: version)
            let cuts = Array([24, 32, 72, 88, 688].prefix(count - 1))
            for order in orders(of: count) {
                identification += 1
                sample.identification = identification
                let fragments = sample.fragments(at: cuts)
                for (place, number) in order.enumerated() {
                    #expect(rig.datagrams.count == Int(identification) - 1)
                    rig.send(Frame(fragments[number], time: UInt64(place)))
                }
                let last = try #require(rig.datagrams.last)
                #expect(last.bytes == sample.whole)
                #expect(last.fragments == UInt32(count))
                #expect(last.time == UInt64(count - 1), "the time of the last fragment")
                #expect(rig.held == 0)
            }
        }
        #expect(rig.passed.isEmpty)
        rig.expectNothingLost()
    }

    @Test("Datagrams that are interleaved, forwards and backwards", arguments: [4, 6])
    func interleaved(_ version: Int) throws {
        let rig = try Rig(memory: 4 << 20)
        let samples = (0..<100).map { number in
            var sample = Sample(size: 3000 + number, version: version)
            sample.identification = UInt32(number)
            return sample
        }
        for step in 0..<3 {
            for (number, sample) in samples.enumerated() {
                let fragments = sample.fragments(of: 1480)
                rig.send([fragments[number % 2 == 0 ? step : 2 - step]])
            }
        }
        #expect(Set(rig.datagrams.map(\.bytes)) == Set(samples.map(\.whole)))
        rig.expectNothingLost()
    }

    @Test("Datagrams of every size around the limits, up to 65535 bytes")
    func sizes() throws {
        // With 20 bytes of header an IPv4 datagram has 65515 bytes of data at most; IPv6 does not count its header.
        for (version, greatest) in [(4, 65515), (6, 65535)] {
            let rig = try Rig(memory: 1 << 20)
            for size in [9, 16, 17, 1488, 1489, 8192, 30000, greatest - 1, greatest] {
                let sample = Sample(size: size, version: version)
                let piece = size < 100 ? 8 : 1480
                rig.send(sample.fragments(of: piece))
                rig.send(sample.fragments(of: piece).reversed())
                #expect(rig.datagrams.suffix(2).map(\.bytes) == [sample.whole, sample.whole], "\(size) bytes")
            }
            #expect(rig.passed.isEmpty)
            rig.expectNothingLost()
        }
    }

    @Test("Frames of every length are kept whole, also where they fill a block exactly, and jumbo frames")
    func frameSizes() throws {
        let rig = try Rig(memory: 1 << 20, linkType: 228)
        for size in [480, 488, 496, 984, 992, 1000, 1008, 8952] {
            var sample = Sample(size: size + 3)
            sample.link = { packet, _ in packet }
            let fragments = sample.fragments(at: [size])
            // Alone: it leaves as it came.
            rig.send([fragments[0]])
            rig.finish()
            #expect(rig.passed.last?.bytes == fragments[0])
            rig.send(fragments.reversed())
            #expect(rig.datagrams.last?.bytes == sample.whole)
        }
        rig.expectNothingLost()
    }

    @Test("The time a datagram took, in sum and at most")
    func duration() throws {
        let rig = try Rig()
        var sample = Sample(size: 100)
        for (identification, spread) in [(1, 500), (2, 3000), (3, 20)] {
            sample.identification = UInt32(identification)
            for (step, fragment) in sample.fragments(of: 40).enumerated() {
                rig.send(Frame(fragment, time: UInt64(identification * 100_000 + step * spread)))
            }
        }
        #expect(rig.counters.value(.reassemblyTime) == 2 * (500 + 3000 + 20))
        #expect(rig.counters.value(.longestReassembly) == 6000)
        rig.expectNothingLost()
    }
}
