internal import CFuse
import Glibc
import Synchronization

/// The files of the mount that no file of the source stands behind.
enum ControlName: Hashable {
    /// Tells readers where to end, all of them or those of one process.
    case end(process: Int32?)
    /// The file that was processed last when `.end` or a cluster ended a stream.
    case last(process: Int32?)
    /// The file that would have come next.
    case next(process: Int32?)
    /// The processes that left their cluster too early.
    case abend
    /// What is being read by whom.
    case status

    init?(_ name: String) {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), parts[0].isEmpty else { return nil }
        var process: Int32?
        if parts.count == 3 {
            guard let number = Int32(parts[2]), number > 0, String(number) == parts[2] else { return nil }
            process = number
        }
        switch parts[1] {
        case "end": self = .end(process: process)
        case "last": self = .last(process: process)
        case "next": self = .next(process: process)
        case "abend" where process == nil: self = .abend
        case "status" where process == nil: self = .status
        default: return nil
        }
    }

    var text: String {
        func with(_ name: String, _ process: Int32?) -> String { process.map { "\(name).\($0)" } ?? name }
        return switch self {
        case .end(let process): with(".end", process)
        case .last(let process): with(".last", process)
        case .next(let process): with(".next", process)
        case .abend: ".abend"
        case .status: ".status"
        }
    }

    var isWritable: Bool { if case .end = self { true } else { false } }
}

/// Which readers a set of control files belongs to: those of one directory with the same options.
struct ControlScope: Hashable {
    let directory: String
    let options: StreamOptions
}

/// The contents of all control files of a mount.
final class ControlFiles: Sendable {
    private let contents = Mutex<[ControlScope: [ControlName: [UInt8]]]>([:])

    /// An `.end` may hold so much.
    static let contentMax = 4096
    /// No more control files than these are kept.
    private static let filesMax = 65_536

    /// The content of a file, nil if it does not exist.
    func content(_ name: ControlName, _ scope: ControlScope) -> [UInt8]? {
        contents.withLock { $0[scope]?[name] }
    }

    /// The files that exist, for listings.
    func names(_ scope: ControlScope) -> [ControlName] {
        contents.withLock { Array($0[scope, default: [:]].keys) }
    }

    /// Makes an `.end`, empty. What an earlier one led to is forgotten.
    func create(_ name: ControlName, _ scope: ControlScope) throws(Errno) {
        guard case .end(let process) = name else { throw Errno(EROFS) }
        let isDone = contents.withLock { contents in
            if contents[scope]?[name] != nil { return true }
            guard contents.values.reduce(0, { $0 + $1.count }) < Self.filesMax else { return false }
            contents[scope, default: [:]][.last(process: process)] = nil
            contents[scope, default: [:]][.next(process: process)] = nil
            contents[scope, default: [:]][name] = []
            return true
        }
        if !isDone { throw Errno(ENOSPC) }
    }

    /// Writes into an `.end`.
    func write(_ name: ControlName, _ scope: ControlScope, _ bytes: [UInt8], at offset: Int) throws(Errno) {
        guard offset >= 0, offset + bytes.count <= Self.contentMax else { throw Errno(EFBIG) }
        let exists = contents.withLock { contents in
            guard var content = contents[scope]?[name] else { return false }
            content += [UInt8](repeating: 0, count: max(0, offset + bytes.count - content.count))
            content.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            contents[scope]?[name] = content
            return true
        }
        if !exists { throw Errno(ENOENT) }
    }

    /// Cuts an `.end`, or makes it longer.
    func truncate(_ name: ControlName, _ scope: ControlScope, to size: Int) throws(Errno) {
        guard size <= Self.contentMax else { throw Errno(EFBIG) }
        contents.withLock { contents in
            guard let content = contents[scope]?[name] else { return }
            let longer = content + [UInt8](repeating: 0, count: max(0, size - content.count))
            contents[scope]?[name] = Array(longer.prefix(size))
        }
    }

    /// Removes an `.end`.
    func remove(_ name: ControlName, _ scope: ControlScope) throws(Errno) {
        guard name.isWritable else { throw Errno(EROFS) }
        let existed = contents.withLock { $0[scope]?.removeValue(forKey: name) != nil }
        if !existed { throw Errno(ENOENT) }
    }

    /// Whether a reader is to end behind this file, and by whose `.end`.
    func ending(behind file: String, process: Int32, _ scope: ControlScope) -> ControlName? {
        let candidates: [ControlName] = [.end(process: process), .end(process: nil)]
        return contents.withLock { contents in
            guard let files = contents[scope] else { return nil }
            return candidates.first { files[$0].map { Self.matches($0, file) } ?? false }
        }
    }

    /// Says where a stream was ended.
    func ended(_ name: ControlName, last: String, next: String?, _ scope: ControlScope) {
        guard case .end(let process) = name else { return }
        contents.withLock { contents in
            contents[scope, default: [:]][.last(process: process)] = Array("\(last)\n".utf8)
            contents[scope, default: [:]][.next(process: process)] = next.map { Array("\($0)\n".utf8) }
        }
    }

    /// Says that a process left its cluster too early.
    func abended(_ process: Int32?, last: String?, next: String?, _ scope: ControlScope) {
        contents.withLock { contents in
            let pids = contents[scope]?[.abend] ?? []
            let all = pids + (process.map { Array("\($0)\n".utf8) } ?? [])
            contents[scope, default: [:]][.abend] = Array(all.suffix(Self.contentMax))
            contents[scope, default: [:]][.last(process: nil)] = last.map { Array("\($0)\n".utf8) }
            contents[scope, default: [:]][.next(process: nil)] = next.map { Array("\($0)\n".utf8) }
        }
    }

    /// A name or a pattern of fnmatch(3); a newline at the end does not count.
    private static func matches(_ content: [UInt8], _ file: String) -> Bool {
        let text = String(decoding: content.prefix { $0 != 0 }, as: UTF8.self)
        let pattern = text.split(separator: "\n", omittingEmptySubsequences: true).first.map(String.init) ?? ""
        return unsafe !pattern.isEmpty && fnmatch(pattern, file, 0) == 0
    }
}
