/// How bytes get from a file into a socket.
public enum SendMethod: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    /// sendfile(2): the socket is given the pages of the file. The default.
    case sendfile
    /// splice(2) through a pipe: the same pages in two calls.
    case splice
    /// mmap(2) and send(2): one copy, out of a mapping.
    case mmap
    /// pread(2) and send(2): two copies, through a buffer.
    case copy

    /// What the command line calls it.
    public var name: String { "\(self)" }

    /// The method of a name, nil if there is none.
    public init?(name: String) {
        guard let method = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = method
    }
}
