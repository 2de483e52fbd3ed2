import Pcapng
import TestSupport
import Testing

@Suite("The number of a conversation")
struct FlowHashTests {
    private func hash(_ frame: [UInt8], linkType: UInt16 = 1, seed: UInt64 = 5, captured: Int? = nil) -> UInt32 {
        unsafe frame.withUnsafeBytes {
            unsafe FlowHash.of($0.baseAddress!, captured: captured ?? frame.count, linkType: linkType, seed: seed)
        }
    }

    private func frame4(
        _ from: [UInt8], _ to: [UInt8], tags: [(type: UInt16, control: UInt16)] = [], fragment: UInt16 = 0,
        port: UInt16 = 1
    ) -> [UInt8] {
        PacketBuilder.ethernet(
            PacketBuilder.ipv4(
                PacketBuilder.udp([1, 2, 3], from: port, to: 9), protocolNumber: 17, from: from, to: to,
                fragment: fragment),
            type: 0x0800, tags: tags)
    }

    @Test("Both directions, all ports, fragments, VLANs and link types have one number; other addresses another")
    func sameConversation() {
        let (one, other): ([UInt8], [UInt8]) = ([10, 1, 2, 3], [192, 0, 2, 77])
        let number = hash(frame4(one, other))
        #expect(hash(frame4(other, one)) == number)
        #expect(hash(frame4(one, other, port: 4711)) == number)
        #expect(hash(frame4(other, one, fragment: 0x0010)) == number)
        #expect(hash(frame4(other, one, tags: [(0x8100, 5), (0x8100, 6)])) == number)
        #expect(hash(Array(frame4(one, other).dropFirst(14)), linkType: 228) == number)
        #expect(hash(frame4(one, [192, 0, 2, 78])) != number)
        #expect(hash(frame4(one, other), seed: 6) != number)
        let (near, far) = (PacketBuilder.ipv6Address(1), PacketBuilder.ipv6Address(2))
        let six = PacketBuilder.ipv6([1, 2, 3, 4], nextHeader: 17, from: near, to: far)
        let back = PacketBuilder.ipv6(
            PacketBuilder.fragmentHeader(next: 6, offset: 8, more: true, identification: 3), nextHeader: 44, from: far,
            to: near)
        #expect(
            hash(PacketBuilder.ethernet(six, type: 0x86DD)) == hash(PacketBuilder.ethernet(back, type: 0x86DD)))
    }

    @Test("Without IP the two Ethernet addresses decide")
    func ethernet() {
        let (one, other): ([UInt8], [UInt8]) = ([2, 0, 0, 0, 0, 7], [2, 0, 0, 0, 0, 8])
        let asks = PacketBuilder.ethernet([1, 2], type: 0x0806, to: one, from: other)
        let answers = PacketBuilder.ethernet([3], type: 0x88CC, to: other, from: one)
        #expect(hash(asks) == hash(answers))
        #expect(hash(asks) != hash(PacketBuilder.ethernet([1, 2], type: 0x0806, to: one, from: [2, 0, 0, 0, 0, 9])))
    }

    @Test("Cut anywhere, and of any link type, nothing is read beyond the end")
    func cut() {
        let frames = [
            frame4([10, 0, 0, 1], [10, 0, 0, 2], tags: [(0x8100, 5)]),
            PacketBuilder.ethernet(PacketBuilder.ipv6([1, 2, 3, 4], nextHeader: 0), type: 0x86DD),
        ]
        for frame in frames {
            for count in 0...frame.count {
                for linkType: UInt16 in [0, 1, 101, 113, 228, 229, 276] {
                    // A copy that ends there: a sanitizer would see a read behind it, and a debug build stops.
                    _ = hash(Array(frame[..<count]) + [0], linkType: linkType, captured: count)
                }
            }
        }
    }

    @Test("Neighbouring addresses spread evenly over any number of places")
    func even() {
        for places in [2, 3, 7, 64] {
            var counts = [Int](repeating: 0, count: places)
            for host in 0..<20_000 {
                let frame = frame4([10, 0, UInt8(host >> 8), UInt8(host & 255)], [192, 0, 2, 1])
                counts[Int((UInt64(hash(frame)) * UInt64(places)) >> 32)] += 1
            }
            let mean = 20_000.0 / Double(places)
            // Chi-square with places - 1 degrees of freedom, six standard deviations above its mean.
            let square = counts.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) / mean }
            let freedom = Double(places - 1)
            #expect(square < freedom + 6 * (2 * freedom).squareRoot() + 6)
        }
    }
}
