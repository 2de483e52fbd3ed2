internal import Machine

/// What a file's footer says about the times behind a place of it.
struct FilePromise {
    private var offsets: [UInt64] = []
    private var least: [UInt64] = []

    /// Nothing is known: anything may come.
    init() {}

    /// From the footer of a file; nothing is known of one that has none.
    init(_ file: SurveyedFile, in directory: DirectoryHandle) {
        guard let footer = try? CacheReader.footer(file.cacheName.sealed, in: directory) else { return }
        offsets = footer.index.map(\.offset)
        var smallest = UInt64.max
        for entry in footer.index.reversed() {
            smallest = min(smallest, entry.times.leastTime)
            least.append(smallest)
        }
        least.reverse()
    }

    /// The least packet time of batches that begin at this offset or behind it, and of those in its step before it.
    func least(from offset: UInt64) -> UInt64 {
        guard !offsets.isEmpty else { return 0 }
        var (low, high) = (0, offsets.count)
        while low < high {
            let middle = (low + high) / 2
            if offsets[middle] <= offset { low = middle + 1 } else { high = middle }
        }
        return least[max(low - 1, 0)]
    }
}
