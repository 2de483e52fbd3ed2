internal import Machine
internal import Pcapng

/// Makes a control block of a type and a body: padding, checksum and lengths are added.
func controlBlock(_ type: UInt32, _ body: (inout BlockBuilder) -> Void) -> [UInt8] {
    var inner = BlockBuilder()
    body(&inner)
    let padding = -inner.bytes.count & 3
    let length = UInt32(16 + inner.bytes.count + padding)
    var block = BlockBuilder()
    block.append(type)
    block.append(length)
    block.append(bytes: inner.bytes)
    block.append(bytes: repeatElement(0, count: padding))
    let sum = unsafe block.bytes.withUnsafeBytes { unsafe CRC32C.of($0.baseAddress!, count: $0.count) }
    block.append(sum)
    block.append(length)
    return block.bytes
}

/// Reads fields of one whole control block that has been checked.
@safe struct FieldReader {
    // Safe because every access is checked against the block's length; it is used while the block is there.
    private let block: UnsafeRawBufferPointer

    init(_ block: UnsafeRawBufferPointer, type: UInt32, least: Int) throws(ControlError) {
        guard block.count >= 12, let start = block.baseAddress else { throw .badLength }
        guard unsafe start.loadUnaligned(as: UInt32.self) == type else { throw .otherType }
        try unsafe BlockFrame.check(start, byteCount: block.count, least: least)
        unsafe self.block = block
    }

    func number<Number: FixedWidthInteger & BitwiseCopyable>(at offset: Int) -> Number {
        unsafe precondition(offset + MemoryLayout<Number>.size <= block.count)
        return unsafe block.loadUnaligned(fromByteOffset: offset, as: Number.self)
    }

    func bytes(at offset: Int, count: Int) -> [UInt8] {
        unsafe precondition(offset + count <= block.count)
        return unsafe [UInt8](UnsafeRawBufferPointer(rebasing: block[offset..<offset + count]))
    }
}
