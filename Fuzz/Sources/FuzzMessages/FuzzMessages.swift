@_spi(Fuzzing) import Distribution

/// Reads the input as what comes in on a connection of `send` or `receive`, and as the body of a message of the kind that the
/// first byte says. It must not crash, and what is read, written and read again must be the same.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data = unsafe data else { return 0 }
    MessageCheck.check(unsafe Array(UnsafeBufferPointer(start: data, count: count)))
    return 0
}
