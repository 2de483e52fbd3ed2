internal import Glibc
internal import Machine

/// Why a token file cannot be used.
public struct TokenFileError: Error, Sendable, CustomStringConvertible {
    /// What and where, and what would be right.
    public let description: String
    /// The file is not there, may not be read, or holds something else.
    public enum Kind: Sendable { case missing, notPermitted, failed, badContent }
    /// Which of these.
    public let kind: Kind
}

extension Token {
    /// Reads a token: exactly 32 bytes, as `head -c 32 /dev/urandom` makes them, in a file that others cannot read.
    public init(file path: String) throws(TokenFileError) {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let kind: TokenFileError.Kind =
                errno == ENOENT ? .missing : errno == EACCES || errno == EPERM ? .notPermitted : .failed
            throw TokenFileError(description: "token file \(SystemError("open", path))", kind: kind)
        }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw TokenFileError(description: "token file \(SystemError("stat", path))", kind: .failed)
        }
        let mode = status.st_mode
        guard mode & 0o007 == 0 else {
            throw TokenFileError(
                description: "token file \(path): everybody may use it (mode \(String(mode & 0o777, radix: 8))); "
                    + "run chmod 600 on it",
                kind: .badContent)
        }
        var bytes = [UInt8](repeating: 0, count: Token.byteCount + 1)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress!, $0.count) }
        guard count >= 0 else {
            throw TokenFileError(description: "token file \(SystemError("read", path))", kind: .failed)
        }
        guard count == Token.byteCount else {
            let size = count > Token.byteCount ? "more" : "\(count)"
            throw TokenFileError(
                description: "token file \(path): a token has exactly 32 bytes, this file has \(size); "
                    + "head -c 32 /dev/urandom makes one",
                kind: .badContent)
        }
        self.init(bytes: Array(bytes.prefix(Token.byteCount)))
    }
}
