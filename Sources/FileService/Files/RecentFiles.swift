/// Files that this loop opened a moment ago, and whole responses out of small ones, so that many requests for one file open
/// and read it once.
///
/// Nothing that is served is out of date for that: in each turn of the loop the kernel is asked whether the file is still as it
/// was when it was opened, under a name it had then. What is believed for a moment is only that the way to the file is the
/// same, through directories and links, and that nobody changes a small file through a mapping, which the kernel does not
/// note down each time.
struct RecentFiles {
    /// Nanoseconds for which the way to a file is believed.
    private static let trust: UInt64 = 50_000_000
    /// Longer files are opened for each request: a transfer of its own has a read-ahead of its own.
    private static let greatestLength: UInt64 = 1 << 20
    /// Files at a time, and responses.
    private static let most = 256

    private struct Entry {
        let file: OpenFile
        let opened: UInt64
        /// The turn of the loop in which the file was last found unchanged.
        var checked: UInt64

        /// Whether it may be used in this turn.
        mutating func holds(now: UInt64) -> Bool {
            if checked == now { return true }
            guard now &- opened < RecentFiles.trust, file.isUnchanged else { return false }
            checked = now
            return true
        }
    }

    private var files: [[UInt8]: Entry] = [:]
    /// Responses by the target of the request, and the second of their dates.
    private var replies: [[UInt8]: (entry: Entry, bytes: [UInt8], second: UInt64)] = [:]

    /// The file of this path, if it was opened a moment ago and nothing was done to it since.
    mutating func file(_ path: [UInt8], now: UInt64) -> OpenFile? {
        guard files[path] != nil else { return nil }
        if files[path]!.holds(now: now) { return files[path]!.file }
        files[path] = nil
        return nil
    }

    /// Remembers a file that was just opened.
    mutating func note(_ path: [UInt8], _ file: OpenFile, now: UInt64) {
        guard !file.isDirectory, file.length <= Self.greatestLength, files.count < Self.most else { return }
        files[path] = Entry(file: file, opened: now, checked: now)
    }

    /// The whole response to a plain request for this target, made in this second out of a file that is as it was.
    mutating func reply(_ target: [UInt8], second: UInt64, now: UInt64) -> [UInt8]? {
        guard replies[target] != nil else { return nil }
        if replies[target]!.second == second, replies[target]!.entry.holds(now: now) { return replies[target]!.bytes }
        replies[target] = nil
        return nil
    }

    /// Remembers a whole response that was just made out of a file, unless the file was changed so short a time ago that
    /// another change might bear the same time.
    mutating func note(reply bytes: [UInt8], _ target: [UInt8], _ file: OpenFile, second: UInt64, now: UInt64) {
        guard replies.count < Self.most, file.isSettled else { return }
        replies[target] = (Entry(file: file, opened: now, checked: now), bytes, second)
    }

    /// Closes what was opened too long ago.
    mutating func forget(now: UInt64) {
        if !files.isEmpty { files = files.filter { now &- $0.value.opened < Self.trust } }
        if !replies.isEmpty { replies = replies.filter { now &- $0.value.entry.opened < Self.trust } }
    }
}
