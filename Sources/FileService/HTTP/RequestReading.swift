/// What a client's bytes are taken for, without a server around it: for the fuzzer.
@_spi(Fuzzing) public enum RequestReading {
    /// Reads bytes as a request for a file of this length, by everything that reads requests, and stops the process where a
    /// promise about the result is broken.
    ///
    /// - Returns: whether it is a whole request.
    public static func read(_ bytes: UnsafeRawBufferPointer, fileLength: UInt64) -> Bool {
        var head = RequestHead()
        guard case .complete = unsafe head.parse(bytes) else { return false }
        precondition(head.byteCount > 0 && head.byteCount <= bytes.count, "a head lies inside its bytes")
        if let target = unsafe try? RequestTarget(head.target) { check(target) }
        let validators = Validators(tag: "\"5-0\"", modified: 784_111_777)
        let verdict = validators.judge(head)
        precondition(verdict == .goOn || head.hasConditions, "no verdict without a condition")
        if let field = head.text(.range), validators.allowsRange(head.text(.ifRange)) {
            check(ByteRanges(field, length: fileLength), fileLength)
        }
        if let field = head.text(.acceptEncoding) { precondition(ContentCoding.accepted(field).count <= 3, "codings") }
        return true
    }

    /// What reaches the kernel is a path without a name that begins with a dot, and without an end in the middle.
    private static func check(_ target: RequestTarget) {
        precondition(!target.path.contains(0) && target.path.first != UInt8(ascii: "/"), "a path below the directory")
        for name in target.path.split(separator: UInt8(ascii: "/")) {
            precondition(name.first != UInt8(ascii: "."), "no hidden name")
        }
        if let request = CaptureQuery.Request(target) {
            // Filters are libpcap's to understand, and are left to its own fuzzers.
            for text in [request.from, request.to].compactMap(\.self) { _ = QueryTime.nanoseconds(text, now: 1 << 60) }
        }
    }

    /// Ranges lie in the file, are not empty, are no more than allowed, and none is asked for twice.
    private static func check(_ ranges: ByteRanges, _ length: UInt64) {
        guard case .parts(let parts) = ranges else { return }
        precondition(!parts.isEmpty && parts.count <= ByteRanges.most, "as many ranges as allowed")
        var sum: UInt64 = 0
        for part in parts {
            precondition(!part.isEmpty && part.upperBound <= length, "a range in the file")
            sum += UInt64(part.count)
        }
        precondition(sum <= length, "no byte twice")
    }
}
