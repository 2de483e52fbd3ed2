import Machine
import Pcapng
import Transfer

/// Reads the input as control blocks one behind the other, each both as it is and with its lengths and checksum made right,
/// so that the fuzzer gets behind them. It must not crash nor read outside a block; what is read and written again
/// must be the same block; ranges must ascend.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data = unsafe data else { return 0 }
    var offset = 0
    while count - offset >= 12 {
        let start = unsafe UnsafeRawPointer(data) + offset
        guard let frame = try? unsafe BlockFrame.peek(start, available: count - offset) else { return 0 }
        let length = min(frame.byteCount, (count - offset) & ~3)
        let block = unsafe UnsafeRawBufferPointer(start: start, count: length)
        unsafe read(block)
        let right = unsafe mended(block)
        unsafe read(right)
        unsafe right.deallocate()
        offset += length
    }
    return 0
}

/// A copy with both lengths and the checksum right.
private func mended(_ block: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: block.count, alignment: 1)
    unsafe copy.copyMemory(from: block)
    unsafe copy.storeBytes(of: UInt32(block.count), toByteOffset: 4, as: UInt32.self)
    unsafe copy.storeBytes(of: UInt32(block.count), toByteOffset: block.count - 4, as: UInt32.self)
    let sum = unsafe CRC32C.of(copy.baseAddress!, count: block.count - 8)
    unsafe copy.storeBytes(of: sum, toByteOffset: block.count - 8, as: UInt32.self)
    return UnsafeRawBufferPointer(copy)
}

/// Gives memory of exactly the block's size to every decoder, and frees it.
private func read(_ block: UnsafeRawBufferPointer) {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: block.count, alignment: 1)
    defer { unsafe copy.deallocate() }
    unsafe copy.copyMemory(from: block)
    let view = UnsafeRawBufferPointer(copy)
    if let hello = try? unsafe Hello(view) {
        precondition(hello.leastVersion <= hello.greatestVersion && hello.challenge.count == 32)
    }
    if let session = try? unsafe Session(view) {
        precondition(Session.isName(Array(session.sensor.utf8)) && Session.isName(Array(session.destination.utf8)))
        let again = session.encoded()
        precondition(again.count == block.count)
        let same = try? unsafe again.withUnsafeBytes { try unsafe Session($0) }
        precondition(same == session)
    }
    if let proof = try? unsafe Proof(view) { precondition(proof.encoded().count == block.count) }
    if let end = try? unsafe End(view) { precondition(!end.text.unicodeScalars.contains { $0.value < 0x20 }) }
    guard let ranges = try? unsafe RangeBlock(view.baseAddress!, byteCount: view.count) else { return }
    var end: UInt64?
    for place in 0..<ranges.count {
        let (first, last) = ranges.range(place)
        precondition(first < last && (end.map { $0 < first } ?? true))
        end = last
    }
}
