import Glibc

/// A system call that failed: which one, on what, and why.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The call, as in the manual page, for example `connect`.
    public let call: String
    /// What it was done to, for example a path or an address; empty if there is nothing to name.
    public let subject: String
    /// The error number (errno(3)).
    public let code: Int32

    /// An error with the calling thread's errno.
    public init(_ call: String, _ subject: String = "") {
        self.init(call, subject, code: errno)
    }

    /// An error with an explicit number.
    public init(_ call: String, _ subject: String = "", code: Int32) {
        self.call = call
        self.subject = subject
        self.code = code
    }

    /// The kernel's words for the number, for example "Connection refused".
    public var reason: String {
        unsafe String(cString: strerror(code))
    }

    /// Subject, call and reason in one line.
    public var description: String {
        subject.isEmpty ? "\(call): \(reason)" : "\(subject): \(call): \(reason)"
    }
}
