internal import Machine

extension Collection<UInt8> {
    /// CRC32C of the bytes.
    var checksum: UInt32 { checksum(continuing: 0) }

    /// CRC32C of bytes before these, whose checksum is given, and of these.
    func checksum(continuing seed: UInt32) -> UInt32 {
        let result = withContiguousStorageIfAvailable { buffer in
            unsafe buffer.isEmpty ? seed : CRC32C.of(buffer.baseAddress!, count: buffer.count, seed: seed)
        }
        return result ?? Array(self).checksum(continuing: seed)
    }
}
