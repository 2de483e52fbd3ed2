internal import CDistribution
internal import CMachine
internal import Glibc
internal import Machine

/// The directory of `--out`. What a sender calls its files never leads out of it: names are checked, and the kernel is asked
/// to resolve them beneath it and to follow no symbolic links (openat2(2)).
final class OutputDirectory {
    let descriptor: Int32
    /// `.spillway`, where files lie until they are whole.
    let state: Int32
    let path: String
    private let lock: Int32

    /// The name of the directory for what is not whole yet; no file of a sender may be in it.
    static let stateName = ".spillway"

    /// Opens it; makes it first if it is not there, its parents not. Only one receiver may use it at a time.
    init(_ path: String) throws(ReceiveError) {
        self.path = path
        if unsafe mkdir(path, 0o755) != 0, errno != EEXIST { throw .cannotCreate(SystemError("mkdir", path)) }
        descriptor = unsafe spillway_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard descriptor >= 0 else { throw .cannotCreate(SystemError("open", path, code: -descriptor)) }
        let inner = "\(path)/\(Self.stateName)"
        if unsafe mkdirat(descriptor, Self.stateName, 0o700) != 0, errno != EEXIST {
            throw .cannotCreate(SystemError("mkdir", inner))
        }
        state = unsafe spillway_open_beneath(
            descriptor, Self.stateName, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0)
        guard state >= 0 else { throw .cannotCreate(SystemError("open", inner, code: -state)) }
        lock = unsafe spillway_open_beneath(state, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600, 0)
        guard lock >= 0 else { throw .cannotCreate(SystemError("open", "\(inner)/lock", code: -lock)) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            throw .inUse("\(path): another receiver works in this directory")
        }
        forgetAbandoned()
    }

    deinit {
        for open in [lock, state, descriptor] where open >= 0 { close(open) }
    }

    /// Seconds for which nothing must have come of a file that is not whole, for it to be forgotten: seven days.
    private static let greatestAge = 7 * 24 * 3600

    /// Removes what is left of transfers that nobody has gone on with for long.
    private func forgetAbandoned() {
        guard let stream = unsafe fdopendir(fcntl(state, F_DUPFD_CLOEXEC, 3)) else { return }
        defer { unsafe closedir(stream) }
        let now = time(nil)
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            var status = stat()
            guard name.hasSuffix(".part") || name.hasSuffix(".pieces"),
                unsafe fstatat(state, name, &status, AT_SYMLINK_NOFOLLOW) == 0,
                now - status.st_mtim.tv_sec > Self.greatestAge
            else { continue }
            removeState(name)
        }
    }

    /// The parts of a name that may be used.
    static func parts(of name: String) throws(Refusal) -> [String] {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard !name.isEmpty, name.utf8.count <= 4096, !name.utf8.contains(0) else {
            throw Refusal(.name, "an empty or too long name")
        }
        for part in parts where part.isEmpty || part == "." || part == ".." || part.utf8.count > 255 {
            throw Refusal(.name, "a name that leads elsewhere: no part may be empty, '.', '..' or over 255 bytes")
        }
        guard parts[0] != stateName else { throw Refusal(.name, "a name in \(stateName), which is the receiver's") }
        return parts
    }

    /// The directory of these names beneath this one, made where it is not there. The caller closes it.
    ///
    /// - Parameter isDurable: whether the names of those that are made are on disk when this returns.
    func directory(_ parts: some Sequence<String>, isDurable: Bool = false) throws(Refusal) -> Int32 {
        var current = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard current >= 0 else { throw Refusal(.inputOutput, reason(errno)) }
        for part in parts {
            let made = unsafe mkdirat(current, part, 0o755)
            let status = made == 0 ? 0 : errno
            if made == 0, isDurable { _ = fsync(current) }
            let next = unsafe spillway_open_beneath(current, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0)
            close(current)
            guard next >= 0 else {
                let code = status != 0 && status != EEXIST ? status : -next
                throw Refusal(code, "cannot make or enter the directory \(part)")
            }
            current = next
        }
        return current
    }

    /// Gives a file from the state directory its name, replacing what has it.
    ///
    /// - Parameter isDurable: whether the name is on disk when this returns.
    func publish(_ part: String, as parts: [String], isDurable: Bool) throws(Refusal) {
        let parent = try directory(parts.dropLast(), isDurable: isDurable)
        defer { close(parent) }
        guard unsafe renameat(state, part, parent, parts[parts.count - 1]) == 0 else {
            throw Refusal(errno, "cannot give the file its name")
        }
        CrashPoint.receiveRenamed.pass()
        guard isDurable else { return }
        guard fsync(parent) == 0 else { throw Refusal(errno, "cannot sync the name") }
        CrashPoint.receiveDirectorySynced.pass()
    }

    /// Opens a finished file for reading; nil if it is not there or no regular file.
    func existing(_ parts: [String]) -> Int32? {
        let path = parts.joined(separator: "/")
        let file = unsafe spillway_open_beneath(
            descriptor, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0, 0)
        return file >= 0 ? file : nil
    }

    /// Removes a file of the state directory; one that is not there is fine.
    func removeState(_ name: String) { _ = unsafe unlinkat(state, name, 0) }
}

extension Refusal {
    /// A failure of the kernel's, at the receiver.
    init(_ code: Int32, _ what: String) {
        let kind: Code = code == ENOSPC || code == EDQUOT || code == EFBIG ? .full : .inputOutput
        self.init(kind, "\(what): \(reason(code))")
    }
}
