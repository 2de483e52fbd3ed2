import CMachine
import Glibc
import Testing

/// The checksum one bit at a time, straight from the definition in RFC 3720 (12.1): the road by which every
/// expected value here comes.
private struct BitwiseCRC32C {
    var state: UInt32 = .max
    var value: UInt32 { ~state }

    mutating func append(_ byte: UInt8) {
        state ^= UInt32(byte)
        for _ in 0..<8 { state = state & 1 == 1 ? state >> 1 ^ 0x82F6_3B78 : state >> 1 }
    }

    static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var crc = BitwiseCRC32C()
        for byte in bytes { crc.append(byte) }
        return crc.value
    }
}

/// One of the C methods, named for the test log.
private struct Method: CustomTestStringConvertible, Equatable, Sendable {
    let number: UInt32
    var method: spillway_crc32c_method { spillway_crc32c_method(rawValue: number) }
    var testDescription: String { unsafe String(cString: spillway_crc32c_method_name(method)) }

    static let all = (0..<UInt32(SPILLWAY_CRC32C_METHODS)).map(Method.init)
    static let available = all.filter { $0.continuing(0, [][...]) != nil }

    /// `crc` continued over `bytes`, nil when this processor cannot do it.
    func continuing(_ crc: UInt32, _ bytes: ArraySlice<UInt8>) -> UInt32? {
        unsafe bytes.withUnsafeBytes { unsafe continuing(crc, $0.baseAddress, $0.count) }
    }

    func continuing(_ crc: UInt32, _ data: UnsafeRawPointer?, _ length: Int) -> UInt32? {
        var crc = crc
        return unsafe spillway_crc32c_with(method, &crc, data, length) ? crc : nil
    }
}

/// Bytes without a pattern, the same in every run (SplitMix64).
private func noise(count: Int) -> [UInt8] {
    var state: UInt64 = 0x5350_494C_4C57_4159
    return (0..<count).map { _ in
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return UInt8(truncatingIfNeeded: word >> 56)
    }
}

/// What the data plane does: that this compiles is the proof that Swift knows the promise of the C function.
@_noLocks
private func checksum(_ data: UnsafeRawPointer, _ length: Int) -> UInt32 {
    unsafe spillway_crc32c(0, data, length)
}

@Suite("CRC32C")
struct CRC32CTests {
    /// RFC 3720, B.4, and the check value of the CRC catalogues.
    @Test(
        "Published vectors come out of every method",
        arguments: Method.available,
        [
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
            ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
            ([UInt8](0..<32), 0x46DD_794E),
            ([UInt8]((0..<32).reversed()), 0x113F_DB5C),
            (
                [
                    0x01, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
                    0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
                ], 0xD996_3A56
            ),
            ([UInt8]("123456789".utf8), 0xE306_9283),
            ([], 0),
        ] as [([UInt8], UInt32)])
    private func publishedVectors(method: Method, vector: ([UInt8], UInt32)) {
        #expect(method.continuing(0, vector.0[...]) == vector.1)
        #expect(BitwiseCRC32C.of(vector.0) == vector.1, "the oracle itself")
    }

    @Test("Every length up to 2048 at every alignment up to 15", arguments: Method.available)
    private func everyLengthAndAlignment(method: Method) {
        let bytes = noise(count: 2048 + 15)
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
        defer { unsafe block.deallocate() }
        unsafe block.copyBytes(from: bytes)
        for alignment in 0...15 {
            var expected = BitwiseCRC32C()
            var wrong: [Int] = []
            for length in 0...2048 {
                let data = unsafe UnsafeRawPointer(block.baseAddress! + alignment)
                if unsafe method.continuing(0, data, length) != expected.value { wrong.append(length) }
                if length < 2048 { expected.append(bytes[alignment + length]) }
            }
            #expect(wrong.isEmpty, "alignment \(alignment)")
        }
    }

    /// The methods work in rounds of up to 73728 bytes; these lengths are around the ends of one and of two rounds
    /// of each, and the size of a batch.
    @Test(
        "Lengths of many rounds", arguments: Method.available,
        [768, 6144, 34_816, 65_536, 69_632, 73_728, 147_456].flatMap { [$0 - 1, $0, $0 + 1, $0 + 287] })
    private func longLengths(method: Method, length: Int) {
        let bytes = noise(count: length)
        #expect(method.continuing(0, bytes[...]) == BitwiseCRC32C.of(bytes))
    }

    @Test("Continuing at any point gives the checksum of the whole", arguments: Method.available)
    private func splitPoints(method: Method) {
        let bytes = noise(count: 1531)
        let expected = BitwiseCRC32C.of(bytes)
        let wrong = (0...bytes.count).filter { split in
            let first = method.continuing(0, bytes[..<split])
            return first.flatMap { method.continuing($0, bytes[split...]) } != expected
        }
        #expect(wrong.isEmpty)
    }

    /// Data that ends at a page nobody may read: a load beyond the end kills the process.
    @Test("No byte beyond the data is read", arguments: Method.available)
    private func staysInside(method: Method) throws {
        let page = 4096
        let pages = unsafe mmap(nil, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        let block = try unsafe #require(pages == MAP_FAILED ? nil : pages)
        defer { unsafe munmap(block, 2 * page) }
        try unsafe #require(mprotect(block + page, page, PROT_NONE) == 0)
        let bytes = noise(count: page)
        unsafe block.copyMemory(from: bytes, byteCount: page)
        for length in Array(0...320) + Array(1000...1320) {
            let crc = unsafe method.continuing(0, block + page - length, length)
            #expect(crc == BitwiseCRC32C.of(bytes.suffix(length)), "length \(length)")
        }
    }

    @Test("The function for everyone is the last available method, and callable without locks")
    func chosenMethod() throws {
        let last = try #require(Method.available.last)
        #expect(spillway_crc32c_chosen() == last.method)
        #expect(unsafe String(cString: spillway_crc32c_name()) == last.testDescription)
        let bytes = noise(count: 4000)
        let crc = unsafe bytes.withUnsafeBytes { unsafe checksum($0.baseAddress!, $0.count) }
        #expect(crc == BitwiseCRC32C.of(bytes))
    }

    @Test("What is no method here changes nothing")
    func noMethod() {
        let missing = Method.all.filter { !Method.available.contains($0) } + [Method(number: 99)]
        for method in missing {
            var crc: UInt32 = 0x1234_5678
            #expect(unsafe !spillway_crc32c_with(method.method, &crc, [1, 2, 3], 3))
            #expect(crc == 0x1234_5678)
        }
        #expect(Method(number: 99).testDescription == "none")
    }

    #if arch(x86_64)
        @Test("The available methods are what the kernel says of the processor")
        func availability() throws {
            let information = try unsafe #require(fopen("/proc/cpuinfo", "r"))
            defer { unsafe fclose(information) }
            var flags: Set<Substring> = []
            var line = [CChar](repeating: 0, count: 16384)
            while flags.isEmpty, unsafe fgets(&line, Int32(line.count), information) != nil {
                let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                if text.hasPrefix("flags") { flags = Set(text.split { $0 == " " || $0 == "\n" || $0 == "\t" }) }
            }
            let needs: [Set<Substring>] = [
                [], ["sse4_2"], ["sse4_2", "pclmulqdq", "avx"],
                ["sse4_2", "pclmulqdq", "avx", "avx512f", "vpclmulqdq"],
            ]
            let expected = Method.all.filter { needs[Int($0.number)].isSubset(of: flags) }
            #expect(Method.available == expected)
        }
    #endif
}
