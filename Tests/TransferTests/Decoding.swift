import Transfer

/// The decoders under test over memory of exactly the size of what they are given, so that a sanitizer sees a read beyond it.
enum Decoding {
    static func hello(_ bytes: [UInt8]) throws -> Hello { try unsafe exactly(bytes) { try unsafe Hello($0) } }
    static func session(_ bytes: [UInt8]) throws -> Session { try unsafe exactly(bytes) { try unsafe Session($0) } }
    static func proof(_ bytes: [UInt8]) throws -> Proof { try unsafe exactly(bytes) { try unsafe Proof($0) } }
    static func end(_ bytes: [UInt8]) throws -> End { try unsafe exactly(bytes) { try unsafe End($0) } }

    static func ranges(_ bytes: [UInt8]) throws -> [Range<UInt64>] {
        try unsafe exactly(bytes) {
            let block = try unsafe RangeBlock($0.baseAddress!, byteCount: $0.count)
            return (0..<block.count).map { block.range($0).first..<block.range($0).end }
        }
    }

    static func frame(_ bytes: [UInt8], available: Int) throws -> BlockFrame? {
        try unsafe exactly(bytes) { try unsafe BlockFrame.peek($0.baseAddress!, available: available) }
    }

    private static func exactly<Result>(
        _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { unsafe copy.deallocate() }
        unsafe copy.copyBytes(from: bytes)
        return try unsafe body(UnsafeRawBufferPointer(copy))
    }
}
