/// Media types by the last part of a name.
enum MediaType {
    private static let types: [String: String] = [
        "pcap": "application/vnd.tcpdump.pcap", "pcapng": "application/vnd.tcpdump.pcap",
        "cap": "application/vnd.tcpdump.pcap", "dmp": "application/vnd.tcpdump.pcap",
        "open": "application/vnd.tcpdump.pcap", "age": "application/age",
        "html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8", "mjs": "text/javascript; charset=utf-8",
        "txt": "text/plain; charset=utf-8", "log": "text/plain; charset=utf-8", "md": "text/markdown; charset=utf-8",
        "csv": "text/csv; charset=utf-8", "json": "application/json", "xml": "application/xml",
        "yaml": "application/yaml", "yml": "application/yaml", "pdf": "application/pdf",
        "svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
        "webp": "image/webp", "ico": "image/vnd.microsoft.icon", "wasm": "application/wasm",
        "gz": "application/gzip", "zst": "application/zstd", "xz": "application/x-xz", "bz2": "application/x-bzip2",
        "zip": "application/zip", "tar": "application/x-tar", "mp4": "video/mp4", "webm": "video/webm",
    ]

    /// The type of a path, `application/octet-stream` if the name says nothing.
    static func of(_ path: some BidirectionalCollection<UInt8>) -> String {
        guard let dot = path.lastIndex(of: UInt8(ascii: ".")) else { return "application/octet-stream" }
        let ending = path[path.index(after: dot)...]
        guard ending.count <= 6, !ending.contains(UInt8(ascii: "/")) else { return "application/octet-stream" }
        return types[String(decoding: ending, as: UTF8.self).lowercased()] ?? "application/octet-stream"
    }
}
