import Glibc
import TestSupport

/// A request of the kernel's to a file system, by the bytes of linux/fuse.h.
struct DiskRequest {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var operation: UInt32 { bytes.word(4) }
    var isWrite: Bool { operation == 16 }
    var unique: UInt64 { bytes.long(8) }
    var node: UInt64 { bytes.long(16) }

    /// A number behind the header of 40 bytes.
    func word(_ offset: Int) -> UInt32 { bytes.word(40 + offset) }
    func long(_ offset: Int) -> UInt64 { bytes.long(40 + offset) }

    /// The names behind the first bytes, each with a zero at its end.
    func names(behind offset: Int) -> [String] {
        bytes[(40 + offset)...].split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }
}

/// An answer: an error (errno), or bytes.
struct DiskAnswer {
    var error: CInt = 0
    var bytes: [UInt8] = []
}

/// What the disk does. It has one directory; that is all a cache needs.
extension FailingDisk.Content {
    /// The answer to a request; nil if none is expected.
    mutating func answer(_ request: DiskRequest) -> DiskAnswer? {
        switch request.operation {
        case 26: return DiskAnswer(bytes: Self.greeting)  // INIT
        case 2:  // FORGET
            forget(request.node, Int(request.long(0)))
            return nil
        case 42:  // BATCH_FORGET
            for place in 0..<Int(request.word(0)) {
                forget(request.long(8 + 16 * place), Int(request.long(16 + 16 * place)))
            }
            return nil
        case 36: return nil  // INTERRUPT
        case 14, 27: return DiskAnswer(bytes: Self.opened)  // OPEN, OPENDIR
        case 18, 29, 38: return DiskAnswer()  // RELEASE, RELEASEDIR, DESTROY
        case 1: return look(request)
        case 3: return DiskAnswer(bytes: attributes(request.node, isEntry: false))  // GETATTR
        case 17: return DiskAnswer(bytes: figures)  // STATFS
        case 28: return list(request)
        default: return diskAnswer(request)
        }
    }

    /// What a disk may refuse.
    private mutating func diskAnswer(_ request: DiskRequest) -> DiskAnswer {
        switch request.operation {
        case 15: refusal(illness.reading) ?? read(request)
        case 16: refusal(illness.writing) ?? write(request)
        case 43: refusal(illness.writing) ?? DiskAnswer()  // FALLOCATE
        case 35: refusal(illness.writing) ?? create(request)
        case 4: refusal(illness.changing) ?? change(request)
        case 10: refusal(illness.changing) ?? remove(request)
        case 12: refusal(illness.changing) ?? rename(request, names: request.names(behind: 8), replaces: true)
        case 45:
            refusal(illness.changing)
                ?? rename(request, names: request.names(behind: 16), replaces: request.word(8) & 1 == 0)
        case 20, 30: refusal(illness.syncing) ?? sync(request)  // FSYNC, FSYNCDIR
        default: DiskAnswer(error: ENOSYS)
        }
    }

    private mutating func refusal(_ error: CInt) -> DiskAnswer? {
        guard error != 0 else { return nil }
        failures += 1
        return DiskAnswer(error: error)
    }

    // ---- names ---------------------------------------------------------------------------------------------------

    private mutating func look(_ request: DiskRequest) -> DiskAnswer {
        guard let node = request.names(behind: 0).first.flatMap({ names[$0] }) else { return DiskAnswer(error: ENOENT) }
        nodes[node]?.lookups += 1
        return DiskAnswer(bytes: attributes(node, isEntry: true))
    }

    private mutating func create(_ request: DiskRequest) -> DiskAnswer {
        guard let name = request.names(behind: 16).first else { return DiskAnswer(error: EINVAL) }
        let node = nextNode
        nextNode += 1
        nodes[node] = FailingDisk.Node(lookups: 1)
        names[name] = node
        return DiskAnswer(bytes: attributes(node, isEntry: true) + Self.opened)
    }

    private mutating func remove(_ request: DiskRequest) -> DiskAnswer {
        guard let name = request.names(behind: 0).first, let node = names.removeValue(forKey: name) else {
            return DiskAnswer(error: ENOENT)
        }
        unlink(node)
        return DiskAnswer()
    }

    private mutating func rename(_ request: DiskRequest, names two: [String], replaces: Bool) -> DiskAnswer {
        guard two.count == 2, let node = names[two[0]] else { return DiskAnswer(error: ENOENT) }
        if let other = names[two[1]] {
            guard replaces else { return DiskAnswer(error: EEXIST) }
            unlink(other)
        }
        names[two[0]] = nil
        names[two[1]] = node
        return DiskAnswer()
    }

    private mutating func unlink(_ node: UInt64) {
        nodes[node]?.links -= 1
        forget(node, 0)
    }

    private mutating func forget(_ node: UInt64, _ count: Int) {
        nodes[node]?.lookups -= count
        if let one = nodes[node], node != 1, one.links == 0, one.lookups <= 0 { nodes[node] = nil }
    }

    private func list(_ request: DiskRequest) -> DiskAnswer {
        var words = ByteWriter(.little)
        for (place, name) in names.keys.sorted().enumerated().dropFirst(Int(request.long(8))) {
            var entry = ByteWriter(.little)
            entry.number(names[name]!)
            entry.number(UInt64(place + 1))
            entry.number(UInt32(name.utf8.count))
            entry.number(UInt32(8))
            entry.raw(Array(name.utf8))
            entry.raw([UInt8](repeating: 0, count: (8 - entry.bytes.count % 8) % 8))
            if words.bytes.count + entry.bytes.count > Int(request.word(16)) { break }
            words.raw(entry.bytes)
        }
        return DiskAnswer(bytes: words.bytes)
    }

    // ---- bytes ---------------------------------------------------------------------------------------------------

    private var used: Int { nodes.values.reduce(0) { $0 + $1.data.count } }

    private func read(_ request: DiskRequest) -> DiskAnswer {
        let data = nodes[request.node]?.data ?? []
        let start = min(Int(request.long(8)), data.count)
        return DiskAnswer(bytes: Array(data[start..<min(start + Int(request.word(16)), data.count)]))
    }

    private mutating func sync(_ request: DiskRequest) -> DiskAnswer {
        if request.operation == 20 { syncs += 1 }
        let length = nodes[request.node]?.data.count ?? 0
        nodes[request.node]?.synced = length
        return DiskAnswer()
    }

    private mutating func write(_ request: DiskRequest) -> DiskAnswer {
        guard var node = nodes[request.node] else { return DiskAnswer(error: ESTALE) }
        let (start, bytes) = (Int(request.long(8)), request.bytes[80...])
        let more = max(0, start + bytes.count - node.data.count)
        if more > 0, used + more > illness.capacity {
            failures += 1
            return DiskAnswer(error: ENOSPC)
        }
        nodes[request.node] = nil
        if start > node.data.count { node.data += [UInt8](repeating: 0, count: start - node.data.count) }
        if start == node.data.count {
            node.data += bytes
        } else {
            let end = min(start + bytes.count, node.data.count)
            node.data.replaceSubrange(start..<end, with: bytes)
        }
        nodes[request.node] = node
        written += bytes.count
        var words = ByteWriter(.little)
        words.number(UInt64(bytes.count))
        return DiskAnswer(bytes: words.bytes)
    }

    private mutating func change(_ request: DiskRequest) -> DiskAnswer {
        // FATTR_SIZE
        if request.word(0) & 8 != 0, var data = nodes[request.node]?.data {
            let size = Int(request.long(16))
            if size < data.count {
                data.removeLast(data.count - size)
            } else {
                data += [UInt8](repeating: 0, count: size - data.count)
            }
            nodes[request.node]?.data = data
        }
        return DiskAnswer(bytes: attributes(request.node, isEntry: false))
    }

    // ---- what the kernel wants to know ---------------------------------------------------------------------------

    private func attributes(_ node: UInt64, isEntry: Bool) -> [UInt8] {
        var words = ByteWriter(.little)
        if isEntry {
            for value: UInt64 in [node, 0, 0] { words.number(value) }
            words.number(UInt64(0))
            words.number(UInt64(0))
        } else {
            words.number(UInt64(0))
            words.number(UInt64(0))
        }
        let one = nodes[node] ?? FailingDisk.Node(links: 0)
        for value: UInt64 in [node, UInt64(one.data.count), UInt64((one.data.count + 511) / 512), 0, 0, 0] {
            words.number(value)
        }
        let mode: UInt32 = node == 1 ? 0o040_755 : 0o100_644
        for value: UInt32 in [0, 0, 0, mode, UInt32(one.links), 0, 0, 0, 4096, 0] { words.number(value) }
        return words.bytes
    }

    private var figures: [UInt8] {
        var words = ByteWriter(.little)
        let (all, free) = (illness.capacity / 4096, max(0, illness.capacity - used) / 4096)
        for value: UInt64 in [UInt64(all), UInt64(free), UInt64(free), 1 << 20, 1 << 20] { words.number(value) }
        for value: UInt32 in [4096, 255, 4096, 0, 0, 0, 0, 0, 0, 0] { words.number(value) }
        return words.bytes
    }

    /// Version 7.31; writes of up to 1 MiB.
    private static var greeting: [UInt8] {
        var words = ByteWriter(.little)
        for value: UInt32 in [7, 31, 1 << 20, 1 | 1 << 5 | 1 << 22] { words.number(value) }
        words.number(UInt16(16))
        words.number(UInt16(12))
        for value: UInt32 in [1 << 20, 1] { words.number(value) }
        words.number(UInt16(256))
        words.number(UInt16(0))
        for _ in 0..<8 { words.number(UInt32(0)) }
        return words.bytes
    }

    private static var opened: [UInt8] { [UInt8](repeating: 0, count: 16) }
}
