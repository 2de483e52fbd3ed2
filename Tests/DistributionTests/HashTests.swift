import CHashing
import TestSupport
import Testing

@testable import Distribution

@Suite("Roots of files")
struct HashTests {
    /// Sizes around the edges of blocks, chunks, groups of chunks, and pieces.
    static let sizes = [
        0, 1, 63, 64, 65, 1023, 1024, 1025, 2047, 2048, 2049, 3000, 16383, 16384, 16385, 17 * 1024, 100_000,
        (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20, (5 << 20) + 4321,
    ]

    @Test("They are what b3sum prints, whatever the width of the vectors", arguments: [1, 4, 8, 16])
    func b3sum(lanes: Int32) throws {
        try requireTool("b3sum")
        spillway_hash_limit_lanes(lanes)
        defer { spillway_hash_limit_lanes(16) }
        try withTemporaryDirectory { folder in
            var paths: [String] = []
            for size in Self.sizes {
                paths.append("\(folder)/\(size)")
                try writeFile(paths.last!, (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
            }
            let expected = try run("b3sum", ["--no-names"] + paths).checked().outputLines
            for (path, line) in zip(paths, expected) {
                #expect(try Sample.root(of: readFile(path), step: 10_007) == line, "\(path)")
            }
        }
    }
}

/// Hashing in the way of the module, for tests.
enum Sample {
    /// The root of some bytes, which come in parts of `step`.
    static func root(of bytes: [UInt8], step: Int) throws -> String {
        var hasher = PieceHasher()
        let memory = UnsafeMutableRawPointer.allocate(byteCount: step + PieceHasher.room, alignment: 64)
        defer { unsafe memory.deallocate() }
        let count = Piece.count(ofSize: UInt64(bytes.count))
        var hashes: [TreeHash] = []
        for piece in 0..<count {
            let range = Piece.bytes(piece..<piece + 1, ofSize: UInt64(bytes.count))
            hasher.begin(at: range.lowerBound)
            var done = Int(range.lowerBound)
            while done < Int(range.upperBound) {
                let part = Array(bytes[done..<min(done + step, Int(range.upperBound))])
                let place = unsafe memory + PieceHasher.room
                unsafe part.withUnsafeBytes { unsafe place.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
                unsafe hasher.putRest(before: place)
                unsafe hasher.add(place, byteCount: part.count)
                done += part.count
            }
            hashes.append(hasher.finish(isRoot: count == 1))
        }
        return "\(TreeHash.root(of: hashes))"
    }
}
