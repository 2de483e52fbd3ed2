import Pcapng

/// Reads the input as a capture file, once in one window and once in windows of random sizes. It must not crash, every
/// packet must lie in its window, every step must make progress, and both ways must find the same.
///
/// The first byte chooses the sizes of the windows, the rest is the file.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data = unsafe data, count > 0 else { return 0 }
    let seed = unsafe UInt64(data[0])
    let file = unsafe UnsafeRawBufferPointer(start: data + 1, count: count - 1)
    let whole = unsafe read(file, sizes: .whole)
    let split = unsafe read(file, sizes: .random(seed))
    precondition(whole == split, "the sizes of the windows make a difference")
    return 0
}
