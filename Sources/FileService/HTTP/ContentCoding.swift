/// Content codings whose files may lie beside the plain ones, best first.
enum ContentCoding: String, CaseIterable {
    case zstd, br, gzip

    /// What the name of such a file ends in.
    var suffix: String {
        switch self {
        case .zstd: ".zst"
        case .br: ".br"
        case .gzip: ".gz"
        }
    }

    /// Those that a client accepts (RFC 9110, section 12.5.3).
    static func accepted(_ field: String) -> [ContentCoding] {
        var weights: [String: Bool] = [:]
        for entry in field.lowercased().split(separator: ",") {
            let parts = entry.split(separator: ";").map { $0.filter { !$0.isWhitespace } }
            guard let name = parts.first else { continue }
            weights[name] = !parts.dropFirst().contains { ["q=0", "q=0.0", "q=0.00", "q=0.000"].contains($0) }
        }
        return allCases.filter { weights[$0.rawValue] ?? weights["*"] ?? false }
    }
}
