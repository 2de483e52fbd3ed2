public import Machine

/// Why a cache file or directory cannot be used.
public enum CacheError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A system call failed.
    case system(SystemError)
    /// Another process owns the directory; the text is what it wrote about itself.
    case inUse(path: String, owner: String)
    /// A file of a version that is not known here.
    case version(path: String, version: UInt16)
    /// A file whose bytes are not what they must be.
    case damaged(path: String, reason: String)

    /// One line that names what and where.
    public var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .inUse(let path, let owner): "\(path): in use by \(owner)"
        case .version(let path, let version): "\(path): written in version \(version), which this program does not know"
        case .damaged(let path, let reason): "\(path): damaged: \(reason)"
        }
    }
}
