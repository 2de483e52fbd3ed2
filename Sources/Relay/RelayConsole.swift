/// How a run talks to people.
public struct RelayConsole: Sendable {
    /// One line that stays.
    public var log: @Sendable (String) -> Void
    /// A status line that is overwritten; nil where there is no terminal.
    public var progress: (@Sendable (String) -> Void)?
    /// Reads the options again; throws a sentence about what is wrong. nil where there is nothing to read.
    public var reload: (@Sendable () throws(ReloadError) -> RelayOptions)?

    /// A console.
    public init(log: @escaping @Sendable (String) -> Void, progress: (@Sendable (String) -> Void)?) {
        self.log = log
        self.progress = progress
    }
}
