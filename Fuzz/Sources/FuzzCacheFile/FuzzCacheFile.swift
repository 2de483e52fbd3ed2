import Glibc
import Machine
import Pcapng
import SpillCache

/// Scans the input as a cache file, and reads its footer. It must not crash; every batch handed on must check, lie behind
/// the one before and within the file; what is handed on, passed over and torn must not be more than there is.
///
/// The first byte decides whether a good section is put in front, so that batches of the input have a run to belong to.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data = unsafe data, count > 0 else { return 0 }
    let input = unsafe Array(UnsafeBufferPointer(start: data + 1, count: count - 1))
    guard let directory = try? DirectoryHandle("/dev/shm", creating: false) else { return 0 }
    let name = "spillway-fuzz-cache-\(getpid())"
    let bytes = unsafe data[0] & 1 == 1 ? goodSection + input : input
    guard let file = try? OpenFile(name, in: directory, flags: O_RDWR | O_CREAT | O_TRUNC),
        (try? file.write(bytes, at: 0)) != nil
    else { return 0 }
    defer { try? directory.remove(name) }
    var end: UInt64 = 0
    let report = try? CacheScan.run(name, in: directory) { batch, section in
        precondition(batch.offset >= end)
        end = batch.offset + UInt64(unsafe batch.bytes.count)
        precondition(end <= UInt64(bytes.count))
        precondition(unsafe BatchTrailer.isIntact(batch.bytes.baseAddress!, byteCount: batch.bytes.count))
        precondition(batch.check.trailer.run == section.run)
    }
    guard let report else { return 0 }
    precondition(report.end <= UInt64(bytes.count) && report.end + report.tornBytes <= UInt64(bytes.count))
    precondition(report.damagedBytes <= UInt64(bytes.count))
    _ = try? CacheReader.footer(name, in: directory)
    return 0
}

/// A section of one interface without batches.
private let goodSection: [UInt8] = {
    var description = StreamBlocks.sectionHeader(hardware: nil, system: nil, application: "fuzz")
    description +=
        CacheHeader(
            kind: .journal, linkType: 1, sensor: "s", run: RunIdentity(low: 0, high: 0), number: 0, created: 0,
            window: 0..<1
        ).block
    description += StreamBlocks.interface(InterfaceLabel(linkType: 1))
    var check = BlockBuilder()
    check.append(BlockType.check)
    check.append(UInt32(20))
    check.append(UInt32(description.count))
    check.append(ByteSource.checksum(description + check.bytes))
    check.append(UInt32(20))
    return description + check.bytes
}()
