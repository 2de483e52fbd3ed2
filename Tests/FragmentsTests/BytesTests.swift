@_spi(Testing) import Fragments
import Testing

/// The binary form, with a writer and a checksum of the test's own.
struct BytesTests {
    /// CRC-32C bit by bit, after RFC 3720.
    static func checksum(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var value = UInt32.max
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : (value >> 1) ^ 0x82F6_3B78 }
        }
        return (0..<4).map { UInt8(truncatingIfNeeded: ~value >> UInt32(8 * $0)) }
    }

    static func form(_ body: [UInt8]) -> [UInt8] { body + checksum(body) }

    static let example: RangeList<UInt64> = [3..<5, 10..<11, 300..<1000]
    static let header: [UInt8] = Array("FRGL".utf8) + [1, 8]

    @Test func theChecksumIsTheStandardOne() {
        // The check value of the catalogue of parametrised CRC algorithms: CRC-32C of "123456789".
        #expect(Self.checksum("123456789".utf8) == [0x83, 0x92, 0x06, 0xE3])
    }

    @Test func theFormIsAsWritten() throws {
        var list = Self.example
        try list.setLimit(5000)
        let body: [UInt8] = Self.header + [0x88, 0x27, 3, 0xBF, 0x05, 3, 1, 5, 0, 0xA1, 0x02, 0xBB, 0x05]
        #expect(list.serialized() == Self.form(body))
        let read = try RangeList<UInt64>(serialized: Self.form(body))
        #expect(read == list && read.limit == 5000)
    }

    @Test func listsComeBack() throws {
        var generator = SeededGenerator("round trip")
        for count in [0, 1, 2, 100, 20_000] {
            let ranges = (0..<count).map { _ in generator.range(in: 100_000, length: 5).of(UInt32.self) }
            let list = try RangeList<UInt32>(ranges, limit: 100_000)
            let read = try RangeList<UInt32>(serialized: list.serialized())
            #expect(read == list && read.limit == list.limit && read.violation() == nil)
            let labels = try FragmentList<UInt32, Label>(
                ranges.map { try Fragment($0, Label(UInt8($0.lowerBound % 3))) })
            let readLabels = try FragmentList<UInt32, Label>(serialized: labels.serialized())
            #expect(readLabels == labels && readLabels.violation() == nil)
        }
        let extreme: RangeList<UInt128> = [0..<1, 5..<(.max)]
        #expect(try RangeList<UInt128>(serialized: extreme.serialized()) == extreme)
    }

    @Test func everyCorruptByteIsAnError() throws {
        let bytes = Self.example.serialized()
        for position in bytes.indices {
            for value in UInt8.min ... .max where value != bytes[position] {
                var corrupt = bytes
                corrupt[position] = value
                #expect(throws: FragmentFormatError.self) { try RangeList<UInt64>(serialized: corrupt) }
            }
        }
    }

    /// With the checksum made right again, what comes out is an error or a valid list that has just this form.
    @Test func everyCorruptByteUnderARightChecksum() throws {
        let labels = try FragmentList<UInt64, Label>([
            Fragment(3, 5, Label(1)), Fragment(5, 9, Label(2)), Fragment(300, 1000, Label(1)),
        ])
        try corrupt(Self.example)
        try corrupt(labels)
    }

    func corrupt<Payload: SerializablePayload>(_ list: FragmentList<UInt64, Payload>) throws {
        let body = Array(list.serialized().dropLast(4))
        var (read, refused) = (0, 0)
        for position in body.indices {
            for value in UInt8.min ... .max where value != body[position] {
                var corrupt = body
                corrupt[position] = value
                do throws(FragmentFormatError) {
                    let other = try FragmentList<UInt64, Payload>(serialized: Self.form(corrupt))
                    #expect(other.violation() == nil)
                    #expect(other.serialized() == Self.form(corrupt))
                    #expect(other.contains { $0.upperBound > other.limit } == false)
                    read += 1
                } catch {
                    refused += 1
                }
            }
        }
        #expect(read > 0 && refused > read, "some limits and gaps can change, nearly nothing else")
    }

    @Test func everyTruncationIsAnError() throws {
        let bytes = Self.example.serialized()
        let body = bytes.dropLast(4)
        for length in bytes.indices {
            #expect(throws: FragmentFormatError.self) { try RangeList<UInt64>(serialized: Array(bytes.prefix(length))) }
        }
        for length in body.indices {
            #expect(throws: FragmentFormatError.self) {
                try RangeList<UInt64>(serialized: Self.form(Array(body.prefix(length))))
            }
        }
        #expect(throws: FragmentFormatError.checksumDiffers) { try RangeList<UInt64>(serialized: bytes + [0]) }
    }

    static let cases: [(FragmentFormatError, [UInt8])] = [
        (.notAList, Array("FRGM".utf8) + [1, 8, 10, 0, 0]),
        (.unknownVersion(2), Array("FRGL".utf8) + [2, 8, 10, 0, 0]),
        (.otherBound(bytes: 4), Array("FRGL".utf8) + [1, 4, 10, 0, 0]),
        (.trailingBytes, header + [10, 0, 0, 0]),
        (.sumDiffers, header + [10, 1, 3, 0, 1]),
        (.sumDiffers, header + [10, 1, 1, 0, 1]),
        (.beyondLimit, header + [10, 1, 3, 8, 2]),
        (.notNormal, header + [10, 2, 4, 1, 1, 0, 1]),
        (.truncated, header + [10, 2, 4, 1, 1]),
        (.truncated, header + [10, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 4, 1, 1]),
        (.badNumber, header + [0x8A, 0x00, 0, 0]),
        (.badNumber, header + [UInt8](repeating: 0xFF, count: 10) + [0, 0]),
        (.badNumber, header + [UInt8](repeating: 0xFF, count: 9) + [2, 0, 0]),
        (
            .wrapsAround,
            header + [UInt8](repeating: 0xFF, count: 9) + [1, 1, 1, 5] + [UInt8](repeating: 0xFF, count: 9) + [1]
        ),
        (
            .wrapsAround,
            header + [UInt8](repeating: 0xFF, count: 9) + [1, 1, 1] + [UInt8](repeating: 0xFF, count: 9) + [1, 0]
        ),
    ]

    @Test(arguments: cases) func everyCheck(_ error: FragmentFormatError, _ body: [UInt8]) {
        #expect(throws: error) { try RangeList<UInt64>(serialized: Self.form(body)) }
    }
}
