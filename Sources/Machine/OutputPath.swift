import Glibc

/// Where a result goes that is made under another name and takes its own when it is whole.
public enum OutputPath {
    /// The path to rename to: links are followed, so that what they lead to is replaced and not they. Nil where something
    /// is that no file may take the place of, such as a device or a pipe; what is for it is written straight into it.
    public static func replaceable(_ path: String) -> String? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return path }
        guard status.st_mode & S_IFMT == S_IFREG || status.st_mode & S_IFMT == S_IFDIR else { return nil }
        guard let resolved = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }
}
