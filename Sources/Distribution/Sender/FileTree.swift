internal import Glibc

/// The files of what is named on a command line: a file by its last part, a directory with all that is in it.
public enum FileTree {
    /// What is to be sent, as path and name, directories before what is in them.
    ///
    /// Symbolic links within a directory, sockets, pipes and devices are left out.
    public static func files(of path: String) throws(SendError) -> [(path: String, name: String)] {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw SendError(path, errno) }
        let name = try lastPart(of: path)
        guard status.st_mode & S_IFMT == S_IFDIR else { return [(path, name)] }
        var found: [(path: String, name: String)] = [(path, name)]
        var rest = [(path: path, name: name)]
        while let (folder, folderName) = rest.popLast() {
            for entry in try entries(of: folder) {
                let (path, name) = ("\(folder)/\(entry)", "\(folderName)/\(entry)")
                guard unsafe lstat(path, &status) == 0 else { continue }
                switch status.st_mode & S_IFMT {
                case S_IFREG: found.append((path, name))
                case S_IFDIR:
                    found.append((path, name))
                    rest.append((path, name))
                default: break
                }
            }
        }
        return found
    }

    /// The name of what a path leads to, also of `.` and of one that ends with a slash.
    private static func lastPart(of path: String) throws(SendError) -> String {
        let parts = path.split(separator: "/")
        if let last = parts.last, last != ".", last != ".." { return String(last) }
        guard let real = unsafe realpath(path, nil) else { throw SendError(path, errno) }
        defer { unsafe free(real) }
        guard let last = unsafe String(cString: real).split(separator: "/").last else {
            throw .unsuitable("\(path): has no name")
        }
        return String(last)
    }

    private static func entries(of folder: String) throws(SendError) -> [String] {
        guard let stream = unsafe opendir(folder) else { throw SendError(folder, errno) }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
