internal import CFuse
import Glibc

/// The two directories of a mount, checked before anything is done.
struct MountPoint {
    /// Both without symbolic links, absolute.
    let source: String
    let target: String

    init(source: String, target: String, log: (String) -> Void) throws(MountError) {
        self.source = try Self.directory(source)
        // Its streams have no end, so what would follow them never comes.
        if Self.mountType(ofDevice: self.source) == "fuse.spillway" {
            throw MountError(.usage, "\(source): it is such a mount itself; mount the directory of captures behind it")
        }
        try Self.clearIfDead(target, log)
        self.target = try Self.directory(target)
        // The mount would wait for itself.
        if Self.contains(self.source, self.target) || Self.contains(self.target, self.source) {
            throw MountError(
                .usage, "\(target): one of source and mountpoint contains the other; choose a mountpoint elsewhere")
        }
    }

    private static func directory(_ path: String) throws(MountError) -> String {
        guard let resolved = unsafe realpath(path, nil) else { throw MountError(.noInput, "\(path): \(reason)") }
        defer { unsafe free(resolved) }
        let text = unsafe String(cString: resolved)
        var status = stat()
        guard unsafe stat(text, &status) == 0 else { throw MountError(.noInput, "\(path): \(reason)") }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw MountError(.noInput, "\(path): it is no directory") }
        return text
    }

    /// Whether one directory is another one or above it, by whatever names.
    private static func contains(_ upper: String, _ lower: String) -> Bool {
        guard let wanted = identity(upper) else { return false }
        var path = lower
        while true {
            if identity(path) == wanted { return true }
            guard let slash = path.lastIndex(of: "/"), path != "/" else { return false }
            path = slash == path.startIndex ? "/" : String(path[..<slash])
        }
    }

    private static func identity(_ path: String) -> FileIdentity? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// A daemon that was killed leaves a mount that answers nothing but ENOTCONN. One of ours is taken away.
    private static func clearIfDead(_ target: String, _ log: (String) -> Void) throws(MountError) {
        var status = stat()
        guard unsafe stat(target, &status) != 0, errno == ENOTCONN else { return }
        let type = mountType(target)
        guard type == "fuse.spillway" else {
            throw MountError(.usage, "\(target): a dead mount of type \(type ?? "unknown") is there; unmount it first")
        }
        log("\(target): a dead mount was left here; taking it away")
        detach(target)
    }

    /// Unmounts, also what is still in use.
    static func detach(_ target: String) {
        if unsafe spillway_detach(target) != 0 { _ = FusermountProgram.run(["-u", "-z", target]) }
    }

    /// The type of what is mounted at a path, which cannot be looked at itself.
    private static func mountType(_ target: String) -> String? {
        let path = absolute(target)
        return mountType { fields in unescaped(fields[4]) == path }
    }

    /// The type of the file system that a directory is in.
    private static func mountType(ofDevice path: String) -> String? {
        guard let device = identity(path)?.device else { return nil }
        // The two halves of a device number as glibc lays them out (makedev(3)).
        let major = (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF
        let minor = device & 0xFF | (device >> 12) & ~0xFF
        return mountType { fields in fields[2] == "\(major):\(minor)" }
    }

    /// The type in the last line of mountinfo (proc(5)) whose fields are the wanted ones.
    private static func mountType(where isWanted: ([Substring]) -> Bool) -> String? {
        let file = unsafe open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress!, $0.count) }
            guard count > 0 else { break }
            text += chunk[..<count]
        }
        var type: String?
        for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 8, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count else { continue }
            if isWanted(fields) { type = String(fields[dash + 1]) }
        }
        return type
    }

    /// The absolute path of a dead mount: its parent is alive.
    private static func absolute(_ target: String) -> String {
        var trimmed = target[...]
        while trimmed.count > 1 && trimmed.last == "/" { trimmed = trimmed.dropLast() }
        let slash = trimmed.lastIndex(of: "/")
        let parent = slash.map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
        let name = slash.map { trimmed[trimmed.index(after: $0)...] } ?? trimmed
        guard let resolved = unsafe realpath(parent, nil) else { return String(trimmed) }
        defer { unsafe free(resolved) }
        let folder = unsafe String(cString: resolved)
        return folder == "/" ? "/\(name)" : "\(folder)/\(name)"
    }

    /// Blanks and the like stand as octal numbers there.
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.first {
            let digits = rest.dropFirst().prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3,
                let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                bytes.append(code)
                rest = rest.dropFirst(4)
            } else {
                bytes.append(byte)
                rest = rest.dropFirst()
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static var reason: String { unsafe String(cString: strerror(errno)) }
}

/// fusermount3(1), which may do what an ordinary user may not.
enum FusermountProgram {
    /// Runs it to its end. Whether it succeeded.
    static func run(_ arguments: [String]) -> Bool {
        var words: [UnsafeMutablePointer<CChar>?] =
            unsafe (["fusermount3"] + arguments).map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe words.indices { unsafe free(words[index]) } }
        var process = pid_t()
        guard unsafe posix_spawnp(&process, "fusermount3", nil, nil, &words, environ) == 0 else { return false }
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0 && errno == EINTR {}
        return status == 0
    }
}
