internal import Glibc

/// The files of what is named on a command line: a file by its last part, a directory with all that is in it.
public struct FileTree: Sendable {
    /// What is to be sent, as path and name, directories before what is in them.
    public private(set) var files: [(path: String, name: String)] = []
    /// What is in a directory and cannot be sent, and why.
    public private(set) var failures: [String] = []
    /// What is in a directory and is left out: symbolic links, sockets, pipes and devices.
    public private(set) var skipped: [String] = []

    /// Looks at a file, or at a directory and everything in it.
    public init(of path: String) throws(SendError) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw SendError(path, errno) }
        let name = try Self.lastPart(of: path)
        files = [(path, name)]
        guard status.st_mode & S_IFMT == S_IFDIR else { return }
        var rest = [(path: path, name: name)]
        while let (folder, folderName) = rest.popLast() {
            do throws(SendError) {
                for entry in try Self.entries(of: folder) { take(entry, in: folder, folderName, &rest) }
            } catch {
                if folder == path { throw error }
                failures.append("\(error)")
            }
        }
    }

    /// Something found in a directory. Its name is nil if it is no UTF-8.
    private struct Entry {
        var name: String?
        var shownName: String
    }

    private mutating func take(
        _ entry: Entry, in folder: String, _ folderName: String, _ rest: inout [(path: String, name: String)]
    ) {
        let shown = "\(folder)/\(entry.shownName)"
        guard let part = entry.name else {
            return failures.append("\(shown): its name is no UTF-8, and cannot be told to receivers")
        }
        let (path, name) = ("\(folder)/\(part)", "\(folderName)/\(part)")
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return failures.append("\(SendError(path, errno))") }
        let kind = status.st_mode & S_IFMT
        guard kind == S_IFREG || kind == S_IFDIR else { return skipped.append(path) }
        guard name.utf8.count <= 4096 else {
            return failures.append("\(path): its name within what is sent is longer than 4096 bytes")
        }
        files.append((path, name))
        if kind == S_IFDIR { rest.append((path, name)) }
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

    private static func entries(of folder: String) throws(SendError) -> [Entry] {
        guard let stream = unsafe opendir(folder) else { throw SendError(folder, errno) }
        defer { unsafe closedir(stream) }
        var names: [Entry] = []
        while let entry = unsafe readdir(stream) {
            let bytes = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe Array($0.prefix { $0 != 0 }) }
            let name = String(validating: bytes, as: UTF8.self)
            if name == "." || name == ".." { continue }
            names.append(Entry(name: name, shownName: name ?? String(decoding: bytes, as: UTF8.self)))
        }
        return names.sorted { $0.shownName < $1.shownName }
    }
}
