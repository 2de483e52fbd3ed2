import Glibc
import TestSupport
import Testing

/// A file whose bytes can be told from their place.
struct TestFile {
    let path: String
    let descriptor: Int32

    /// All bytes there may be: words mixed from their places, so that no part looks like another.
    private static let pattern: [UInt8] = {
        let words = (UInt64(0)..<(3 << 20)).map { place in
            let word = (place &+ 1) &* 0x9E37_79B9_7F4A_7C15
            return word ^ word >> 29
        }
        return unsafe words.withUnsafeBytes { unsafe [UInt8]($0) }
    }()

    /// What stands in a range of the file.
    static func bytes(_ range: Range<Int>) -> [UInt8] { [UInt8](pattern[range]) }

    init(in folder: String, count: Int) throws {
        path = "\(folder)/file"
        try writeFile(path, Self.bytes(0..<count))
        descriptor = unsafe open(path, O_RDWR | O_CLOEXEC)
        try #require(descriptor >= 0)
    }

    /// Takes the file out of the page cache; false where the file system has no disk behind it.
    func evict() -> Bool { evictFromPageCache(descriptor, residentPages: residentPages) }

    /// How many pages of the file are in memory (mincore(2)).
    func residentPages() -> Int {
        var status = stat()
        _ = unsafe fstat(descriptor, &status)
        let length = Int(status.st_size)
        guard length > 0, let base = unsafe mmap(nil, length, PROT_READ, MAP_SHARED, descriptor, 0) else { return 0 }
        defer { unsafe munmap(base, length) }
        var pages = [UInt8](repeating: 0, count: (length + 4095) / 4096)
        _ = unsafe mincore(base, length, &pages)
        return pages.count { $0 & 1 == 1 }
    }
}

/// Runs `body` with a file on a real disk, beside the build, because temporary folders may be in memory.
func withTestFile(count: Int, _ body: (TestFile) throws -> Void) throws {
    try withTemporaryDirectory { folder in
        let file = try TestFile(in: folder, count: count)
        defer { close(file.descriptor) }
        try body(file)
    }
}
