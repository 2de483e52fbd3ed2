import Glibc
import TestSupport
import Testing

/// Names of the cache files in a directory, sealed or not.
func cacheFiles(_ folder: String) throws -> [String] {
    try directoryEntries(folder).filter { $0.contains(".pcapng") }.sorted()
}

/// Bytes of the cache files in a directory; 0 while there is none.
func cacheBytes(_ folder: String) -> Int {
    guard let names = try? cacheFiles(folder) else { return 0 }
    return names.reduce(0) { sum, name in
        var status = stat()
        return sum + (unsafe stat("\(folder)/\(name)", &status) == 0 ? Int(status.st_size) : 0)
    }
}

/// Waits until a cache has some bytes and grows no more.
func waitForQuietCache(_ folder: String, bytes: Int) throws {
    var last = (bytes: 0, times: 0)
    try waitUntil("a cache of \(bytes) bytes that grows no more") {
        let now = cacheBytes(folder)
        last = now == last.bytes ? (now, last.times + 1) : (now, 0)
        usleep(20_000)
        return now >= bytes && last.times > 10
    }
}

/// The packets of all whole batches in a cache, by this test's own reading of the files.
func packetsOnDisk(_ folder: String) throws -> [Packet] {
    try cacheFiles(folder).flatMap { name in
        // What a cache file has beside a stream is left out: cache header, check blocks, footer.
        var bytes: [UInt8] = []
        let file = try readFile("\(folder)/\(name)")
        var offset = 0
        while offset + 12 <= file.count {
            let length = Int(file.word(offset + 4))
            guard length >= 12, offset + length <= file.count else { break }
            if ![0x8053_5052, 0x8053_5043, 0x8053_5046].contains(file.word(offset)) {
                bytes += file[offset..<offset + length]
            }
            offset += length
        }
        return try Stream(bytes).batches.flatMap(\.packets)
    }
}

/// A plain stream taken apart into its sections.
func sections(_ bytes: [UInt8]) throws -> [Stream] {
    var starts: [Int] = []
    var offset = 0
    while offset + 12 <= bytes.count {
        if bytes.word(offset) == 0x0a0d_0d0a { starts.append(offset) }
        offset += Int(bytes.word(offset + 4))
    }
    return try starts.enumerated().map { place, start in
        try Stream(Array(bytes[start..<(place + 1 < starts.count ? starts[place + 1] : bytes.count)]))
    }
}

/// The numbers of the numbered packets in all whole batches of a cache.
func wholeNumbersOnDisk(_ folder: String) throws -> Set<Int> {
    var numbers: Set<Int> = []
    for name in try cacheFiles(folder) {
        let file = try readFile("\(folder)/\(name)")
        var open: [Int] = []
        var offset = 0
        while offset + 12 <= file.count {
            let length = Int(file.word(offset + 4))
            guard length >= 12, offset + length <= file.count else { break }
            if file.word(offset) == 6 { open.append(numberOfBlock(file, offset)) }
            if file.word(offset) == 0x8053_5054 {
                numbers.formUnion(open)
                open = []
            }
            offset += length
        }
    }
    return numbers
}
