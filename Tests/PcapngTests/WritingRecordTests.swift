import Pcapng
import TestSupport
import Testing

@Suite("Records and trailers as bytes")
struct WritingRecordTests {
    /// What is written into memory that was full of other bytes, and whether the bytes around it are untouched.
    private func written(
        _ room: Int, _ body: (UnsafeMutableRawPointer) -> Int
    ) -> (bytes: [UInt8], isContained: Bool) {
        var memory = [UInt8](repeating: 0xEE, count: room + 32)
        let count = unsafe memory.withUnsafeMutableBytes { unsafe body($0.baseAddress! + 16) }
        let around = memory[..<16] + memory[(16 + count)...]
        return (Array(memory[16..<(16 + count)]), around.allSatisfy { $0 == 0xEE })
    }

    /// One record by the code under test.
    private func record(_ packet: SamplePacket) -> (bytes: [UInt8], isContained: Bool) {
        unsafe written(packet.bytes.count + 40) { target in
            unsafe packet.bytes.withUnsafeBytes { source in
                // An empty array has no address, and nothing is read from there.
                let base = unsafe source.baseAddress ?? UnsafeRawPointer(target)
                return unsafe Record.write(
                    to: target, time: packet.time, interface: packet.interface, bytes: base,
                    captured: UInt32(packet.bytes.count), original: packet.original)
            }
        }
    }

    /// The same record by the builder of the tests.
    private func reference(_ packet: SamplePacket) -> [UInt8] {
        var file = PcapngBuilder()
        file.section(.little)
        for _ in 0...packet.interface { file.interface(resolution: 9) }
        let start = file.built("").bytes.count
        file.enhanced(Int(packet.interface), units: packet.time, packet.bytes, original: packet.original)
        return Array(file.built("").bytes[start...])
    }

    @Test("Every captured length: the record is the one of the specification, and nothing beside it is written")
    func everyLength() {
        for count in Array(0...70) + [1499, 1500, 65535, 65536, 262_141, 262_142, 262_143, 262_144] {
            let packet = SamplePacket(
                time: 0x1234_5678_9ABC_DEF0 &+ UInt64(count), original: UInt32(count) + 5, interface: UInt32(count % 3),
                bytes: sampleBytes(count, seed: count))
            let (bytes, isContained) = record(packet)
            #expect(bytes == reference(packet))
            #expect(isContained)
            #expect(Record.byteCount(captured: count) == bytes.count)
        }
        #expect(Record.maximumByteCount == Record.byteCount(captured: 262_144))
    }

    @Test("Extreme times and numbers, and reading them back")
    func extremes() {
        for time in [0, 1, UInt64(UInt32.max), 1 << 32, .max] {
            for original in [0, 1, UInt32.max] {
                let packet = SamplePacket(time: time, original: original, interface: 4, bytes: [1, 2, 3, 4, 5])
                let (bytes, _) = record(packet)
                #expect(bytes == reference(packet))
                unsafe bytes.withUnsafeBytes { source in
                    let view = unsafe RecordView(source.baseAddress!)
                    #expect(view.byteCount == bytes.count)
                    #expect(view.captured == 5)
                    #expect([view.original, view.interface] == [original, 4])
                    #expect(view.time == time)
                    #expect(unsafe Array(UnsafeRawBufferPointer(start: view.data, count: 5)) == packet.bytes)
                }
            }
        }
    }

    // ---- trailers ------------------------------------------------------------------------------------------------

    private static let run = RunIdentity(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908)

    /// A trailer whose fields are all different, for records of this many bytes.
    private func trailer(recordBytes: Int) -> BatchTrailer {
        var trailer = BatchTrailer(run: Self.run)
        (trailer.worker, trailer.lane, trailer.number) = (0x1112, 0x2122, 0x3132_3334_3536_3738)
        (trailer.packets, trailer.sourceFrames) = (0x4142_4344, 0x5152_5354)
        (trailer.recordBytes, trailer.interfaceCRC) = (UInt32(recordBytes), 0x7172_7374)
        (trailer.leastTime, trailer.greatestTime) = (0x8182_8384_8586_8788, 0x9192_9394_9596_9798)
        (trailer.firstArrival, trailer.lastArrival) = (0xA1A2_A3A4_A5A6_A7A8, 0xB1B2_B3B4_B5B6_B7B8)
        return trailer
    }

    /// A small batch by the code under test.
    private func batch(_ sizes: [Int]) -> [UInt8] {
        let records = sizes.enumerated().flatMap { number, size in
            record(
                SamplePacket(
                    time: UInt64(number), original: 9, interface: 0, bytes: sampleBytes(size, seed: number))
            ).bytes
        }
        let block = trailer(recordBytes: records.count)
        return unsafe written(records.count + 96) { target in
            unsafe target.copyMemory(from: records, byteCount: records.count)
            unsafe block.write(to: target + records.count)
            return records.count + 96
        }.bytes
    }

    @Test(
        "The trailer is the block of docs/format.md, its checksum that of the definition",
        arguments: [[], [0], [60, 1, 3]])
    func trailerBytes(sizes: [Int]) {
        let bytes = batch(sizes)
        let records = bytes.count - 96
        var expected = ByteWriter(.little)
        expected.number(UInt32(0x8053_5054))
        expected.number(UInt32(96))
        for half: UInt16 in [1, 0, 0x1112, 0x2122] { expected.number(half) }
        expected.raw((0..<16).map { UInt8($0) })
        expected.number(UInt64(0x3132_3334_3536_3738))
        for word in [0x4142_4344, 0x5152_5354, UInt32(records), 0x7172_7374] { expected.number(word) }
        for long: UInt64 in [
            0x8182_8384_8586_8788, 0x9192_9394_9596_9798, 0xA1A2_A3A4_A5A6_A7A8, 0xB1B2_B3B4_B5B6_B7B8,
        ] { expected.number(long) }
        expected.number(bitwiseCRC(bytes[..<(records + 88)]))
        expected.number(UInt32(96))
        #expect(Array(bytes[records...]) == expected.bytes)
        unsafe bytes.withUnsafeBytes { source in
            let read = unsafe BatchTrailer(reading: source.baseAddress! + records)
            #expect(read == trailer(recordBytes: records))
            #expect(unsafe BatchTrailer.lastArrival(at: source.baseAddress! + records) == 0xB1B2_B3B4_B5B6_B7B8)
        }
        #expect(Self.run.description == "000102030405060708090a0b0c0d0e0f")
        #expect(RunIdentity.random() != RunIdentity.random())
    }

    @Test("A batch is intact only as it is: not with any byte changed, cut or added")
    func intact() {
        let whole = batch([17, 60, 0])
        func isIntact(_ bytes: some Collection<UInt8>) -> Bool {
            let bytes = Array(bytes)
            return unsafe bytes.withUnsafeBytes {
                unsafe $0.count > 0 && BatchTrailer.isIntact($0.baseAddress!, byteCount: $0.count)
            }
        }
        #expect(isIntact(whole))
        for place in whole.indices {
            for change: UInt8 in [1, 0x80, 0xff] {
                var changed = whole
                changed[place] ^= change
                #expect(!isIntact(changed), "byte \(place) changed by \(change)")
            }
            #expect(!isIntact(whole[..<place]), "cut to \(place)")
            #expect(!isIntact(whole[(place + 1)...]), "without the first \(place + 1)")
        }
        #expect(!isIntact(whole + [0]))
        #expect(!isIntact([0, 0, 0, 0] + whole))
        #expect(!isIntact(whole + whole))
    }

    /// CRC-32C one bit at a time (RFC 3720, 12.1).
    private func bitwiseCRC(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var state = UInt32.max
        for byte in bytes {
            state ^= UInt32(byte)
            for _ in 0..<8 { state = state & 1 == 1 ? state >> 1 ^ 0x82F6_3B78 : state >> 1 }
        }
        return ~state
    }
}
