/// What stands behind `-o`: our own options, those that the kernel knows, and those that only mount(8) and fstab(5) know.
public struct MountOptions: Sendable {
    /// Our own.
    public private(set) var stream = StreamOptions()
    /// What is handed to libfuse.
    public private(set) var fuse: [String] = []

    /// Known to libfuse and the kernel.
    private static let passed: Set<String> = [
        "allow_other", "allow_root", "auto_unmount", "default_permissions", "nodev", "dev", "nosuid", "suid", "noexec",
        "exec", "noatime", "atime", "nodiratime", "async", "sync", "dirsync",
    ]
    private static let passedWithValue: Set<String> = ["fsname", "subtype", "max_read", "context", "fscontext"]
    /// Said to mount(8), or without a meaning for a file system that is never written.
    private static let ignored: Set<String> = [
        "rw", "ro", "auto", "noauto", "user", "nouser", "users", "owner", "group", "defaults", "_netdev", "nofail",
        "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime", "loud", "silent", "nouser",
        "diratime", "iversion", "noiversion", "mand", "nomand",
    ]

    /// The defaults.
    public init() {}

    /// Takes a list as it stands behind `-o`.
    public mutating func take(_ list: String) throws(MountError) {
        for option in list.split(separator: ",").map(String.init) {
            let name = String(option.prefix { $0 != "=" })
            switch stream.take(option) {
            case .taken: continue
            case .badValue:
                throw MountError(.usage, "-o \(option): write \(StreamOptions.expectations[name] ?? "another value")")
            case .unknown: break
            }
            if Self.ignored.contains(option) || name.hasPrefix("x-") || name == "comment" || name == "uhelper" {
                continue
            }
            guard Self.passed.contains(option) || Self.passedWithValue.contains(name) else {
                let known = StreamOptions.expectations.keys.sorted().joined(separator: ", ")
                throw MountError(.usage, "-o \(option): no such option; there are \(known)")
            }
            fuse.append(option)
        }
    }

    /// Whether users other than the one who mounts may look; the kernel then has to check permissions.
    var isShared: Bool { fuse.contains("allow_other") || fuse.contains("allow_root") }
}

/// Why a directory cannot be mounted, or not any longer.
public struct MountError: Error, Sendable, CustomStringConvertible {
    /// Which kind of failure it is; it decides the exit code.
    public enum Kind: Sendable { case usage, noInput, kernel, notPermitted }

    /// Which kind of failure it is.
    public let kind: Kind
    /// One line that names what and where.
    public let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
