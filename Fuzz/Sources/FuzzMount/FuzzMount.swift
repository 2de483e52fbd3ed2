import FileSystem
import Glibc

/// Shows the input as two capture files of a directory that is mounted, and reads them as a reader does, as a cluster does, and
/// newest first. Nothing may crash or wait for ever; bytes must be the same however they are read; what a cluster shares out
/// must be part of the stream.
///
/// The first byte chooses how it is read, the next two how many of the other bytes are the first file.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data = unsafe data, count >= 3 else { return 0 }
    let bytes = unsafe UnsafeRawBufferPointer(start: data + 3, count: count - 3)
    let (how, cut) = unsafe (data[0], min(bytes.count, Int(data[1]) << 8 | Int(data[2])))
    let isCache = how & 3 == 3
    // Names that the cache gives its files; any other reader does not mind them.
    let names = (0..<2).map { "2023111\($0)T000000Z-\(String(repeating: "0", count: 32))-\($0).pcapng" }
    unsafe Folder.write(names[0], UnsafeRawBufferPointer(rebasing: bytes[..<cut]))
    unsafe Folder.write(names[1], UnsafeRawBufferPointer(rebasing: bytes[cut...]))
    let options = ["settle=1ms", "clustermode=\((how >> 2) % 5)"] + (isCache ? ["direction=newest-first"] : [])
    func open() -> RangeReader? {
        RangeReader(directory: Folder.path, from: names[0], to: names[1], options: options)
    }
    guard let reader = open(), let other = open() else { return 0 }
    let (whole, outcome) = read(reader, 1 << 16)
    precondition(outcome != -Int(EAGAIN), "a reader of finished files waits")
    let (again, sameOutcome) = read(other, 1021)
    precondition(whole == again && outcome == sameOutcome, "other bytes with reads of another size")
    readBackwards(reader, whole)
    if !isCache, how & 1 == 1 { share(open()!, whole.count) }
    return 0
}

/// Reads to the end or to an error. Files are small, but what is completed with zeros may be much longer.
private func read(_ reader: RangeReader, _ size: Int) -> ([UInt8], Int) {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: size)
    while bytes.count < 1 << 22 {
        let count = unsafe piece.withUnsafeMutableBytes { unsafe reader.read($0, at: UInt64(bytes.count)) }
        guard count > 0 else { return (bytes, count) }
        precondition(count <= size)
        bytes += piece[..<count]
    }
    return (Array(bytes.prefix(1 << 22)), 0)
}

private func readBackwards(_ reader: RangeReader, _ whole: [UInt8]) {
    var piece = [UInt8](repeating: 0, count: 333)
    for offset in stride(from: max(0, whole.count - 333), to: 0, by: -max(1511, whole.count / 16)) {
        let count = unsafe piece.withUnsafeMutableBytes { unsafe reader.read($0, at: UInt64(offset)) }
        guard count > 0 else { preconditionFailure("what was read once is gone: \(count)") }
        let end = min(whole.count, offset + count)
        precondition(piece[..<(end - offset)] == whole[offset..<end], "other bytes at \(offset)")
    }
}

private func share(_ reader: RangeReader, _ length: Int) {
    var given = 0
    let outcome = unsafe reader.share(among: 3) { record, member in
        precondition(member >= -1 && member < 3)
        given += record.count
        unsafe touch(record)
    }
    precondition(outcome != -Int(EAGAIN), "a cluster of finished files waits")
    precondition(given <= length || length == 1 << 22, "more was shared out than there is")
}

/// Reads every byte, so that the sanitizer sees whether all of them may be read.
@inline(never)
private func touch(_ record: UnsafeRawBufferPointer) {
    var sum: UInt8 = 0
    for index in record.indices { unsafe sum &+= record[index] }
    if sum == 1, record.count == .max { fatalError() }
}

/// A directory in memory for this process.
private enum Folder {
    static let path: String = {
        var template = Array("/dev/shm/spillway-fuzz-XXXXXX".utf8CString)
        precondition(unsafe mkdtemp(&template) != nil)
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()

    static func write(_ name: String, _ bytes: UnsafeRawBufferPointer) {
        let file = unsafe Glibc.open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        precondition(file >= 0)
        precondition(unsafe Glibc.write(file, bytes.baseAddress, bytes.count) == bytes.count)
        close(file)
    }
}
