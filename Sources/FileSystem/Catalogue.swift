internal import CFuse
import Glibc
import Machine
import Synchronization

/// The place of a file among those of its directory.
struct FileKey: Comparable {
    /// Nanoseconds; 0 where names alone decide.
    let time: UInt64
    let name: String

    static func < (one: FileKey, other: FileKey) -> Bool {
        one.time != other.time ? one.time < other.time : NaturalOrder.precedes(one.name, other.name)
    }
}

/// Which capture files follow each other in the directories of a source.
///
/// Shared by all readers; it remembers the sorted names of each directory for as long as the directory does not change, and
/// what it has learnt about the first packets of files.
final class Catalogue: Sendable {
    private struct Listing {
        /// When the directory was changed last, and when it was read.
        var modified: UInt64
        var identity: FileIdentity
        var names: [String]
    }

    private struct Remembered {
        var listings: [String: Listing] = [:]
        var firstPackets: [String: (identity: FileIdentity, time: UInt64)] = [:]
        var kinds: [FileIdentity: (modified: UInt64, size: UInt64, kind: FileKind)] = [:]
    }

    /// What a file is, as far as its first bytes tell.
    enum FileKind { case capture, foreign }

    let source: SourceTree
    let wholeFiles = WholeFiles()
    private let remembered = Mutex(Remembered())
    /// Directories remembered at the same time.
    private static let listingsMax = 64
    private static let filesMax = 65_536

    init(_ source: SourceTree) { self.source = source }

    /// The names of the regular files of a directory in the order of their names, without hidden ones: a file whose name
    /// begins with a dot is not there yet for those who follow a directory.
    func names(in directory: String) throws(Errno) -> [String] {
        let status = try source.status(directory)
        let known = remembered.withLock { $0.listings[directory] }
        if let known, known.modified == status.modified, known.identity == status.identity { return known.names }
        let before = Clock.realtime()
        let entries = try source.entries(directory).filter { !$0.name.hasPrefix(".") }
        let files = entries.filter { entry in
            switch Int32(entry.type) {
            case Int32(DT_REG): true
            case Int32(DT_LNK), Int32(DT_UNKNOWN):
                (try? source.status(joined(directory, entry.name)))?.isRegular ?? false
            default: false
            }
        }
        let names = files.map(\.name).sorted(by: NaturalOrder.precedes)
        // The time of a directory moves in steps of some milliseconds. What changes within the same step as the last
        // change that is seen here would not be noticed, so a young listing is not kept.
        guard status.modified &+ 50_000_000 < before else { return names }
        remembered.withLock { remembered in
            if remembered.listings.count >= Self.listingsMax { remembered.listings.removeAll() }
            remembered.listings[directory] = Listing(
                modified: status.modified, identity: status.identity, names: names)
        }
        return names
    }

    /// The place of a file of which the name and, if it is open, its status are known. Nil if it cannot have one, because
    /// it is gone or has no packet yet.
    func key(of name: String, in directory: String, order: FileOrder, status: SourceStatus? = nil) -> FileKey? {
        switch order {
        case .name: return FileKey(time: 0, name: name)
        case .modification:
            guard let status = status ?? (try? source.status(joined(directory, name))) else { return nil }
            return FileKey(time: status.modified, name: name)
        case .packet:
            guard let time = firstPacket(joined(directory, name)) else { return nil }
            return FileKey(time: time, name: name)
        }
    }

    /// The file that comes next after a place, nil if there is none.
    func successor(of key: FileKey, in directory: String, order: FileOrder) throws(Errno) -> String? {
        let names = try names(in: directory)
        if order == .name {
            let index = Self.firstIndex(in: names) { NaturalOrder.precedes(key.name, $0) }
            return index < names.count ? names[index] : nil
        }
        let keys = names.lazy.filter { $0 != key.name }.compactMap { self.key(of: $0, in: directory, order: order) }
        return keys.filter { $0 > key }.min()?.name
    }

    /// All files between two, both included, in their order.
    func range(from first: String, to last: String, in directory: String, order: FileOrder) throws(Errno) -> [String] {
        guard let lower = key(of: first, in: directory, order: order),
            let upper = key(of: last, in: directory, order: order), !(upper < lower)
        else { throw Errno(ENOENT) }
        var all = try names(in: directory)
        // The ends may be hidden files that were named on purpose.
        for end in [first, last] where !all.contains(end) { all.append(end) }
        let keys = all.compactMap { key(of: $0, in: directory, order: order) }
        return keys.filter { !($0 < lower) && !(upper < $0) }.sorted().map(\.name)
    }

    /// What the first bytes of a file say it is. A file that is too short to tell may yet become a capture.
    func kind(_ path: String, _ status: SourceStatus) -> FileKind {
        if status.size < 4 { return .capture }
        let known = remembered.withLock { $0.kinds[status.identity] }
        if let known, known.modified == status.modified, known.size == status.size { return known.kind }
        guard let file = try? source.openFile(path).descriptor else { return .foreign }
        defer { close(file) }
        let kind: FileKind = if case .foreign = CaptureFormat.probe(file) { .foreign } else { .capture }
        remembered.withLock { remembered in
            if remembered.kinds.count >= Self.filesMax { remembered.kinds.removeAll() }
            remembered.kinds[status.identity] = (status.modified, status.size, kind)
        }
        return kind
    }

    private func firstPacket(_ path: String) -> UInt64? {
        guard let (file, status) = try? source.openFile(path) else { return nil }
        defer { close(file) }
        let known = remembered.withLock { $0.firstPackets[path] }
        // The first packet of a file stays, unless the file is overwritten; then its time does not.
        if let known, known.identity == status.identity, known.time != 0 { return known.time }
        guard let time = CaptureFormat.firstPacketTime(file) else { return nil }
        remembered.withLock { remembered in
            if remembered.firstPackets.count >= Self.filesMax { remembered.firstPackets.removeAll() }
            remembered.firstPackets[path] = (status.identity, time)
        }
        return time
    }

    private static func firstIndex(in names: [String], where isBehind: (String) -> Bool) -> Int {
        var (low, high) = (0, names.count)
        while low < high {
            let middle = (low + high) / 2
            if isBehind(names[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
