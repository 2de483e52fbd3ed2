internal import CMachine
internal import Glibc
internal import Machine
internal import Synchronization

/// A file that is being sent, as it was when it was added. Peers share it, with its descriptor and its hashes.
final class SourceFile: Sendable {
    let number: UInt32
    let path: String
    let announcement: FileAnnouncement
    private let identity: Identity
    private let state = Mutex(State())

    /// What tells whether a file has changed.
    private struct Identity: Equatable {
        var device: UInt64, inode: UInt64, size: Int64, modified: Int64, changed: Int64

        init(_ status: stat) {
            (device, inode, size) = (UInt64(status.st_dev), UInt64(status.st_ino), Int64(status.st_size))
            modified = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
            changed = Int64(status.st_ctim.tv_sec) * 1_000_000_000 + Int64(status.st_ctim.tv_nsec)
        }
    }

    private struct State {
        var descriptor: Int32 = -1
        var users = 0
        var hashes: [TreeHash] = []
        var root: TreeHash?
        var failure: String?
    }

    /// Looks at a file or a directory.
    ///
    /// - Parameter name: what receivers are to call it.
    init(_ path: String, name: String, number: UInt32) throws(SendError) {
        (self.path, self.number) = (path, number)
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw SendError(path, errno) }
        let kind: FileAnnouncement.Kind
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFDIR: kind = .directory
        default: throw .unsuitable("\(path): neither a file nor a directory")
        }
        if kind == .file {
            guard unsafe access(path, R_OK) == 0 else { throw SendError(path, errno) }
            guard UInt64(status.st_size) <= FileAnnouncement.greatestSize else {
                throw .unsuitable("\(path): larger than 1 TiB")
            }
        }
        identity = Identity(status)
        announcement = FileAnnouncement(
            number: number, kind: kind, mode: status.st_mode & 0o7777,
            size: kind == .file ? UInt64(status.st_size) : 0, modified: identity.modified, name: name)
    }

    deinit {
        let descriptor = state.withLock { $0.descriptor }
        if descriptor >= 0 { close(descriptor) }
    }

    var size: UInt64 { announcement.size }
    var count: UInt64 { Piece.count(ofSize: size) }

    /// Opens the file for one more user; what failed is the same for all.
    func open() -> Int32? {
        state.withLock { state in
            if state.failure != nil { return nil }
            if state.descriptor < 0 {
                state.descriptor = unsafe spillway_open_at(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0)
                if state.descriptor < 0 {
                    state.failure = "cannot open: \(reason(-state.descriptor))"
                    return nil
                }
                if let change = change(of: state.descriptor) {
                    state.failure = change
                    return nil
                }
            }
            state.users += 1
            return state.descriptor
        }
    }

    /// One more user of the descriptor, which is open.
    func retain() { state.withLock { $0.users += 1 } }

    /// A user needs the descriptor no longer.
    func release() {
        state.withLock { state in
            state.users -= 1
            guard state.users == 0, state.descriptor >= 0 else { return }
            close(state.descriptor)
            state.descriptor = -1
        }
    }

    /// Whether the open file is what it was when it was added; what is different if not.
    private func change(of descriptor: Int32) -> String? {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return "cannot look at it: \(reason(errno))" }
        return Identity(status) == identity ? nil : "it changed while it was being sent"
    }

    /// Looks whether the file is still what it was.
    func check(_ descriptor: Int32) {
        if let change = change(of: descriptor) { fail(change) }
    }

    func fail(_ why: String) { state.withLock { $0.failure = $0.failure ?? why } }

    /// Why it cannot be sent (any more).
    var failure: String? { state.withLock { $0.failure } }

    // ---- hashes

    /// How many pieces are hashed, from the first on.
    var hashedCount: UInt64 { state.withLock { UInt64($0.hashes.count) } }

    /// Some of the hashes.
    func hashes(_ range: Range<UInt64>) -> [TreeHash] {
        state.withLock { Array($0.hashes[Int(range.lowerBound)..<Int(range.upperBound)]) }
    }

    func append(_ hash: TreeHash) { state.withLock { $0.hashes.append(hash) } }

    /// All pieces are hashed, and the file was the same afterwards.
    func seal(_ descriptor: Int32) {
        check(descriptor)
        state.withLock { state in
            if state.failure == nil { state.root = TreeHash.root(of: state.hashes) }
        }
    }

    /// The root, once all pieces are hashed.
    var root: TreeHash? { state.withLock { $0.root } }
}
