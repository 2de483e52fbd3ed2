import Pcapng
import TestSupport
import Testing

@Suite("Reading damaged capture files")
struct ReadingDamageTests {
    @Test("Cut at any byte, a file gives exactly the packets before the cut", arguments: CaptureKinds.small)
    func truncation(_ file: BuiltCapture) throws {
        for count in 0..<file.bytes.count {
            let outcome = try parse(Array(file.bytes[..<count]))
            let start = file.boundary(before: count)
            try #require(outcome.packets == file.packets(within: count), "cut at \(count)")
            if count > 0 && start == count {
                try #require(outcome.damage == nil, "cut at \(count)")
            } else {
                try #require(outcome.damage?.offset == UInt64(start), "cut at \(count)")
                let isClassic = file.boundaries.dropFirst().first == 24
                try #require(
                    outcome.damage?.reason == truncationReason(count, isClassic: isClassic), "cut at \(count)")
            }
        }
    }

    private func truncationReason(_ count: Int, isClassic: Bool) -> DamageReason {
        if count == 0 { return .empty }
        if count < 4 { return .tooShort }
        if !isClassic { return .truncatedBlock }
        return count < 24 ? .truncatedHeader : .truncatedRecord
    }

    @Test("With any byte changed, reading ends, and in any portions alike", arguments: CaptureKinds.small)
    func changedBytes(_ file: BuiltCapture) throws {
        for index in file.bytes.indices {
            var bytes = file.bytes
            for pattern: UInt8 in [0xff, 0x01, 0x80, 0x10] {
                bytes[index] = file.bytes[index] ^ pattern
                let outcome = try parse(bytes)
                let total = outcome.packets.reduce(0) { $0 + $1.bytes.count }
                try #require(total <= bytes.count, "byte \(index) changed by \(pattern)")
                // What was whole before the damaged place must not suffer, unless a file header is hit.
                if let damage = outcome.damage {
                    try #require(damage.offset <= UInt64(bytes.count))
                }
                if pattern == 0x01 && index % 3 == 0 {
                    try #require(try parse(bytes, portion: 5) == outcome, "byte \(index)")
                }
            }
        }
    }

    @Test("Random bytes behind a valid start end without a crash")
    func randomBytes() throws {
        for seed in 0..<2000 {
            let start = seed % 2 == 0 ? ClassicBuilder().built("").bytes : emptySection()
            let bytes = start + sampleBytes(seed % 97, seed: seed)
            let outcome = try parse(bytes)
            #expect(try parse(bytes, portion: 3) == outcome)
        }
    }

    private func emptySection() -> [UInt8] {
        var file = PcapngBuilder()
        file.section(.big)
        file.interface()
        return file.built("").bytes
    }

    struct Planned: Sendable, CustomTestStringConvertible {
        let reason: DamageReason
        let offset: Int
        let bytes: [UInt8]
        var testDescription: String { "\(reason) at \(offset)" }
    }

    @Test("Each kind of damage is named, with the place where it begins", arguments: plannedDamage())
    func reasons(_ planned: Planned) throws {
        let outcome = try parse(planned.bytes)
        #expect(outcome.damage?.reason == planned.reason)
        #expect(outcome.damage?.offset == UInt64(planned.offset))
        #expect(try parse(planned.bytes, portion: 1) == outcome)
    }

    @Test("Every reason has its own sentence, and every reason is provoked here")
    func sentences() {
        let sentences = Set(DamageReason.allCases.map(\.sentence))
        #expect(sentences.count == DamageReason.allCases.count)
        #expect(sentences.allSatisfy { $0.contains(" ") && !$0.hasSuffix(".") })
        let elsewhere: Set<DamageReason> = [.interfaceBlockTooLarge, .tooManyInterfaces]
        #expect(Set(plannedDamage().map(\.reason)).union(elsewhere) == Set(DamageReason.allCases))
    }

    @Test("Compressed files come with the advice to decompress them")
    func advice() {
        let advice: [(DamageReason, String)] = [
            (.compressedGzip, "gzip -dc"), (.compressedZstandard, "zstd -dc"), (.compressedLZ4, "lz4 -dc"),
            (.compressedXZ, "xz -dc"), (.compressedBzip2, "bzip2 -dc"),
        ]
        for (reason, command) in advice { #expect(reason.sentence.contains(command)) }
    }
}

/// A damaged file for each reason, in both byte orders where that matters.
private func plannedDamage() -> [ReadingDamageTests.Planned] {
    var all: [ReadingDamageTests.Planned] = []
    func plan(_ reason: DamageReason, at offset: Int, _ bytes: [UInt8]) {
        all.append(.init(reason: reason, offset: offset, bytes: bytes))
    }
    plan(.empty, at: 0, [])
    plan(.tooShort, at: 0, [0xa1, 0xb2])
    plan(.unknownFormat, at: 0, Array("not a capture file".utf8))
    plan(.compressedGzip, at: 0, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0])
    plan(.compressedZstandard, at: 0, [0x28, 0xb5, 0x2f, 0xfd, 0, 0])
    plan(.compressedLZ4, at: 0, [0x04, 0x22, 0x4d, 0x18, 0, 0])
    plan(.compressedXZ, at: 0, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0])
    plan(.compressedBzip2, at: 0, Array("BZh91AY".utf8))
    for order in ByteOrder.allCases {
        for version: (UInt16, UInt16) in [(2, 5), (1, 4), (3, 0), (543, 1)] {
            plan(.unsupportedVersion, at: 0, ClassicBuilder(order: order, version: version).built("").bytes)
        }
        plan(.reservedLinkTypeBits, at: 0, ClassicBuilder(order: order, linkTypeWord: 0x10001).built("").bytes)
        let header = ClassicBuilder(order: order).built("").bytes
        plan(.truncatedHeader, at: 0, header.dropLast())
        plan(.truncatedRecord, at: 24, header + [0])
        var record = ByteWriter(order)
        for value: UInt32 in [1, 1, 262_145, 262_145] { record.number(value) }
        record.raw([UInt8](repeating: 7, count: 262_145))
        plan(.capturedLengthTooLarge, at: 24, header + record.bytes)
        planBlocks(order, plan)
    }
    return all
}

private func planBlocks(_ order: ByteOrder, _ plan: (DamageReason, Int, [UInt8]) -> Void) {
    var file = PcapngBuilder()
    file.section(order)
    let section = file.built("").bytes
    file.interface()
    let start = file.built("").bytes
    func words(_ values: [UInt32]) -> [UInt8] {
        var writer = ByteWriter(order)
        for value in values { writer.number(value) }
        return writer.bytes
    }
    func after(_ front: [UInt8], _ reason: DamageReason, _ values: [UInt32]) {
        plan(reason, front.count, front + words(values))
    }
    plan(.truncatedBlock, start.count, start + [6])
    plan(.truncatedBlock, start.count, start + words([99, 16, 0]))
    // A block larger than any window that ends early, and one whose second length is wrong.
    let large = words([99, 600_000]) + [UInt8](repeating: 0, count: 599_988)
    plan(.truncatedBlock, start.count, start + large.dropLast())
    plan(.truncatedBlock, start.count, start + large + [1])
    plan(.blockLengthsDiffer, start.count, start + large + words([600_004]))
    after(start, .blockLengthTooSmall, [99, 8, 0])
    after(start, .blockLengthTooSmall, [6, 28, 0, 0, 0, 0, 28])
    after(start, .blockLengthTooSmall, [3, 12, 12])
    after(start, .blockLengthTooSmall, [1, 16, 1, 16])
    after(start, .blockLengthTooSmall, [0, 0, 0, 0, 0, 0])
    after(start, .blockLengthUnaligned, [99, 13, 0, 0])
    after(start, .blockLengthsDiffer, [99, 16, 0, 20])
    after(start, .blockLengthsDiffer, [6, 32, 0, 0, 0, 0, 0, 36])
    after(start, .badByteOrderMagic, [0x0a0d_0d0a, 28, 0x1a2b_3c4e, 1, 0, 0, 28])
    after(start, .capturedLengthBeyondBlock, [6, 36, 0, 0, 0, 5, 5, 0, 36])
    after(start, .capturedLengthBeyondBlock, [6, 36, 0, 0, 0, .max, 5, 0, 36])
    after(start, .capturedLengthBeyondBlock, [3, 20, 5, 0, 20])
    after(start, .capturedLengthBeyondBlock, [3, 20, .max, 0, 20])
    after(section, .unknownInterface, [6, 32, 0, 0, 0, 0, 0, 32])
    after(section, .unknownInterface, [3, 16, 0, 16])
    after(start, .unknownInterface, [6, 32, 1, 0, 0, 0, 0, 32])
    after(start, .unknownInterface, [6, 32, .max, 0, 0, 0, 0, 32])
    // A section forgets the interfaces of the one before.
    after(start + section, .unknownInterface, [6, 32, 0, 0, 0, 0, 0, 32])
    for option: PcapngBuilder.Option in [.bytes(9, [6, 6]), .bytes(9, []), .number(14, UInt32(1))] {
        var bad = PcapngBuilder()
        bad.section(order)
        bad.interface([option])
        plan(.badInterfaceOption, section.count, bad.built("").bytes)
    }
    // An option that says it is longer than its block.
    let tooLong: UInt32 = order == .little ? 2 | 5 << 16 : 2 << 16 | 5
    after(section, .badInterfaceOption, [1, 28, 1, 0, tooLong, 0, 28])
    let versions: [UInt32] = order == .little ? [2, 1 | 1 << 16, 0] : [2 << 16, 1 << 16 | 1, 0]
    for version in versions {
        plan(.unsupportedVersion, 0, words([0x0a0d_0d0a, 28, 0x1a2b_3c4d, version, .max, .max, 28]))
    }
}
