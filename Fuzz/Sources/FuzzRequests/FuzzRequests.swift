@_spi(Fuzzing) import FileService

/// Reads the input as an HTTP request: its head, target, ranges, conditions and times. The first bytes choose the length of
/// the file that is asked for.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data = unsafe data, count > 8 else { return 0 }
    let length = unsafe UnsafeRawPointer(data).loadUnaligned(as: UInt64.self)
    // Memory of exactly the request's size, so that reading behind it is noticed.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: count - 8, alignment: 1)
    defer { unsafe copy.deallocate() }
    unsafe copy.copyMemory(from: UnsafeRawBufferPointer(start: data + 8, count: count - 8))
    _ = unsafe RequestReading.read(UnsafeRawBufferPointer(copy), fileLength: length)
    return 0
}
