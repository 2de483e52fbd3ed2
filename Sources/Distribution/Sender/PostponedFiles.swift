/// Files that a receiver will not take yet, because somebody else is sending it something of that name: when each is offered again.
struct PostponedFiles {
    /// When a file was refused for the first time, how often since then, and when it is offered again; 0 while it is.
    private struct Entry {
        var since: UInt64
        var refusals = 0
        var retryTime: UInt64 = 0
    }

    private var entries: [UInt32: Entry] = [:]

    /// The first pause in nanoseconds; each is twice as long as the one before, up to the greatest.
    private static let firstPause: UInt64 = 50_000_000, greatestPause: UInt64 = 2_000_000_000

    /// A file was refused.
    mutating func add(_ number: UInt32, _ now: UInt64) {
        var entry = entries[number] ?? Entry(since: now)
        entry.retryTime = now + min(Self.greatestPause, Self.firstPause << UInt64(min(entry.refusals, 6)))
        entry.refusals += 1
        entries[number] = entry
    }

    /// Files to be offered now, in order.
    mutating func due(_ now: UInt64) -> [UInt32] {
        let numbers = entries.filter { $0.value.retryTime != 0 && $0.value.retryTime <= now }.keys.sorted()
        for number in numbers { entries[number]?.retryTime = 0 }
        return numbers
    }

    /// Files that were refused for longer than the time-out; they are forgotten.
    mutating func givenUp(_ now: UInt64, timeout: UInt64) -> [UInt32] {
        if entries.isEmpty { return [] }
        let numbers = entries.filter { $0.value.retryTime != 0 && now - $0.value.since > timeout }.keys.sorted()
        for number in numbers { entries[number] = nil }
        return numbers
    }

    /// When the next one is to be offered; nil if none waits.
    var nextTime: UInt64? { entries.values.lazy.map(\.retryTime).filter { $0 != 0 }.min() }

    /// A file is settled.
    mutating func remove(_ number: UInt32) { if !entries.isEmpty { entries[number] = nil } }

    /// Nothing waits for its time any more, because everything is offered anew; since when each is refused stays.
    mutating func forgetTimes() { for number in entries.keys { entries[number]?.retryTime = 0 } }
}
