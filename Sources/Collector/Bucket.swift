internal import Machine
internal import SpillCache

/// What a bucket is for: batches of one sensor and link type whose least packet times lie in one span.
struct BucketKey: Hashable {
    var sensor: String
    var linkType: UInt16
    /// The span's place: its beginning divided by `--rotate-time`.
    var place: UInt64
}

/// A journal's file that batches are being written into.
final class Bucket {
    let key: BucketKey
    let sensor: Sensor
    var writer: CacheFileWriter
    /// Where its batches are; nil for a file that was found, and where there are too many batches.
    var index: JournalIndex? = JournalIndex()
    /// Monotonic time of the last arrival.
    var lastArrival: UInt64
    /// Whether something was written since the last sync.
    var isDirty = false

    init(_ key: BucketKey, _ sensor: Sensor, _ writer: consuming CacheFileWriter) {
        (self.key, self.sensor) = (key, sensor)
        self.writer = writer
        lastArrival = Clock.monotonic()
    }

    /// Writes the statistics that came behind the last batch.
    func writeStatistics() throws(SystemError) {
        guard let run = writer.run, let description = sensor.descriptions[run] else { return }
        try writer.append(preambleFor: description)
        index?.note(description)
    }
}
