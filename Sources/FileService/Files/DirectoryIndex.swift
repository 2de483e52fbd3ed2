internal import Glibc
internal import Telemetry

/// A directory as people and programs read it.
struct DirectoryIndex {
    /// One entry.
    struct Entry {
        var name: [UInt8]
        var isDirectory: Bool
        var length: UInt64
        /// Seconds since 1970.
        var modified: Int
    }

    /// More entries than this are not shown, and it is said that there are more.
    static let most = 100_000

    /// Directories first, then by name.
    private(set) var entries: [Entry] = []
    private(set) var isCut = false

    /// Reads an open directory. What begins with a dot, and what is neither file nor directory, does not exist here.
    init(_ file: OpenFile) throws(OpenFile.Fault) {
        let own = unsafe openat(file.descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0, let stream = unsafe fdopendir(own) else {
            if own >= 0 { close(own) }
            throw .failed
        }
        defer { unsafe closedir(stream) }
        while let found = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &found.pointee.d_name) { bytes in
                unsafe [UInt8](bytes.prefix { $0 != 0 })
            }
            guard name.first != UInt8(ascii: "."), let entry = Self.entry(name, in: own) else { continue }
            if entries.count == Self.most {
                isCut = true
                break
            }
            entries.append(entry)
        }
        entries.sort { one, other in
            if one.isDirectory != other.isDirectory { return one.isDirectory }
            return one.name.lexicographicallyPrecedes(other.name)
        }
    }

    private static func entry(_ name: [UInt8], in directory: Int32) -> Entry? {
        var status = stat()
        let path = (name + [0]).map { CChar(bitPattern: $0) }
        // A link is shown as what it is, a link, so not at all: whether it leads out is only known when it is opened.
        guard unsafe fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        let kind = status.st_mode & S_IFMT
        guard kind == S_IFREG || kind == S_IFDIR else { return nil }
        return Entry(
            name: name, isDirectory: kind == S_IFDIR, length: UInt64(status.st_size),
            modified: Int(status.st_mtim.tv_sec))
    }

    /// The list as JSON: an array of objects.
    var json: String {
        let items = entries.map { entry in
            JSONValue.object([
                ("name", .string(String(decoding: entry.name, as: UTF8.self))),
                ("type", .string(entry.isDirectory ? "directory" : "file")),
                ("size", entry.isDirectory ? .null : .number(entry.length)),
                ("modified", .string(HTTPDate.internetText(entry.modified))),
            ])
        }
        return JSONValue.array(items).text() + "\n"
    }

    /// The list as a page.
    func html(of path: [UInt8]) -> String {
        let title = Self.escaped("/" + String(decoding: path, as: UTF8.self))
        var rows = path.isEmpty ? "" : "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n"
        for entry in entries {
            let slash = entry.isDirectory ? "/" : ""
            let name = Self.escaped(String(decoding: entry.name, as: UTF8.self)) + slash
            // "./" in front, so that a colon in a name is not taken for a scheme.
            rows +=
                "<tr><td><a href=\"./\(Self.percentEncoded(entry.name))\(slash)\">\(name)</a></td>"
                + "<td>\(entry.isDirectory ? "" : "\(entry.length)")</td>"
                + "<td>\(HTTPDate.internetText(entry.modified))</td></tr>\n"
        }
        if isCut { rows += "<tr><td colspan=\"3\">and more</td></tr>\n" }
        return """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><title>\(title)</title>
            <style>body{font-family:sans-serif}td{padding:0 1em}td:nth-child(2){text-align:right}</style></head>
            <body><h1>\(title)</h1>
            <table><tr><th>name</th><th>bytes</th><th>modified</th></tr>
            \(rows)</table></body></html>

            """
    }

    private static func escaped(_ text: String) -> String {
        var out = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            case "'": out += "&#39;"
            default: out.unicodeScalars.append(character)
            }
        }
        return out
    }

    /// A name in a reference (RFC 3986): everything but unreserved characters is encoded.
    static func percentEncoded(_ name: some Sequence<UInt8>) -> String {
        var out: [UInt8] = []
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in name {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                out.append(byte)
            default: out += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
