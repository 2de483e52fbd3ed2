internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache

/// Where received batches are until they are in finished files: one file for each bucket that is open.
final class Journal {
    private let places: CollectorPlaces
    private let options: CollectorOptions
    private let sealer: Sealer
    /// The run of the names of the files of this life.
    private let run = RunIdentity.random()
    private var number: UInt64 = 0
    private(set) var buckets: [BucketKey: Bucket] = [:]
    /// Bytes of journal files that are being made into finished ones, and batches in their indices.
    private var sealing: [CacheFileName: (bytes: UInt64, indexed: Int)] = [:]
    /// Batches in all indices.
    private var indexed = 0
    /// What is kept free, whatever comes: finished files, states and intents need some.
    private let reserve: UInt64
    private let reservation: UInt64
    /// Bytes that were free beyond all that when it was looked last, less what has gone into the journal since.
    private var allowance: UInt64 = 0
    /// Files whose last bytes are not synced and that are no bucket any more.
    var retired: [Int32] = []

    init(_ places: CollectorPlaces, _ options: CollectorOptions, _ sealer: Sealer) throws(SystemError) {
        (self.places, self.options, self.sealer) = (places, options, sealer)
        let free = try places.output.freeSpace()
        reserve = max(64 << 10, min(16 << 20, free / 32))
        reservation = max(64 << 10, min(4 << 20, free / 64)) & ~4095
    }

    /// Bytes of all journal files.
    var openBytes: UInt64 {
        buckets.values.reduce(0) { $0 + $1.writer.end } + sealing.values.reduce(0) { $0 + $1.bytes }
    }

    /// Whether there is room to go on: for a second copy of everything in the journal, because that is what making files
    /// of it takes, and for something beside it.
    ///
    /// - Parameter again: whether it was stopped, so that some more must be there.
    func hasRoom(again: Bool) -> Bool {
        guard let free = try? places.output.freeSpace() else { return false }
        return free >= openBytes + reserve * (again ? 2 : 1)
    }

    /// Sees to it that there will be room for a second copy of the journal when so many bytes more are in it.
    private func keepRoom(for count: UInt64) throws(SystemError) {
        // Each byte takes itself from what is free, and adds itself to what must be.
        if 2 * count > allowance {
            let free = try places.output.freeSpace()
            let needed = openBytes + reserve
            allowance = free > needed ? free - needed : 0
        }
        guard 2 * count <= allowance else {
            throw SystemError("too little free space for what is made of the journal", places.output.path, code: ENOSPC)
        }
        allowance -= 2 * count
    }

    /// The bucket for a batch, made if there is none.
    func bucket(for trailer: BatchTrailer, _ sensor: Sensor, linkType: UInt16) throws(SystemError) -> Bucket {
        let key = BucketKey(sensor: sensor.name, linkType: linkType, place: trailer.leastTime / options.rotateTime)
        if let bucket = buckets[key] { return bucket }
        makePlace(for: key)
        let start = key.place * options.rotateTime
        let (end, overflow) = start.addingReportingOverflow(options.rotateTime)
        var plan = CacheFilePlan(
            kind: .journal, name: CacheFileName(start: start, run: run, number: number), sensor: sensor.name,
            linkType: linkType, window: start..<(overflow ? .max : end), application: options.application)
        plan.reservation = reservation
        let writer = try CacheFileWriter(plan, in: places.journal)
        number += 1
        let bucket = Bucket(key, sensor, writer)
        buckets[key] = bucket
        return bucket
    }

    /// Takes a bucket that was found at the start.
    func adopt(_ writer: consuming CacheFileWriter, _ sensor: Sensor) {
        let plan = writer.plan
        let key = BucketKey(
            sensor: sensor.name, linkType: plan.linkType, place: plan.window.lowerBound / options.rotateTime)
        let isOwn = plan.window.lowerBound == key.place * options.rotateTime && buckets[key] == nil
        let bucket = Bucket(key, sensor, writer)
        bucket.index = nil
        // Of another --rotate-time, or a second one of the same span: it is finished as it is.
        if !isOwn { return seal(bucket) }
        buckets[key] = bucket
    }

    /// Appends batches of one run to a bucket.
    func append(
        _ bytes: UnsafeRawBufferPointer, _ checks: [BatchCheck], of description: RunDescription, to bucket: Bucket
    ) throws(SystemError) {
        try keepRoom(for: UInt64(bytes.count))
        try bucket.sensor.saveClaims(of: description.run, in: places.state)
        try unsafe bucket.writer.append(bytes, checks.map(\.trailer), of: description)
        note(checks, at: bucket.writer.end - UInt64(bytes.count), of: description, in: bucket)
        bucket.lastArrival = Clock.monotonic()
        bucket.isDirty = true
        if bucket.writer.end >= options.rotateSize { seal(bucket) }
    }

    /// Remembers where batches are, as long as there is memory for it.
    private func note(
        _ checks: [BatchCheck], at offset: UInt64, of description: RunDescription, in bucket: Bucket
    ) {
        if indexed + checks.count > CollectorLimit.indexedBatches {
            indexed -= bucket.index?.batches.count ?? 0
            bucket.index = nil
        }
        guard bucket.index != nil else { return }
        indexed += checks.count
        var offset = offset
        for check in checks {
            bucket.index?.add(check, at: offset, of: description)
            offset += UInt64(check.trailer.recordBytes) + UInt64(BatchTrailer.byteCount)
        }
    }

    /// Makes files of what has had no arrivals for long.
    func sealIdle(now: UInt64) {
        for bucket in buckets.values where elapsed(since: bucket.lastArrival, now) >= options.rotateTime {
            seal(bucket)
        }
    }

    /// Makes files of everything.
    func sealAll() {
        for bucket in buckets.values.sorted(by: { $0.lastArrival < $1.lastArrival }) { seal(bucket) }
    }

    /// Makes a file of the least recent bucket where there are as many as there may be.
    private func makePlace(for key: BucketKey) {
        let series = buckets.values.filter { $0.key.sensor == key.sensor && $0.key.linkType == key.linkType }
        let candidates =
            series.count >= CollectorLimit.bucketsPerSeries
            ? series : buckets.count >= CollectorLimit.buckets ? Array(buckets.values) : []
        if let oldest = candidates.min(by: { $0.lastArrival < $1.lastArrival }) { seal(oldest) }
    }

    private func seal(_ bucket: Bucket) {
        // One that was found at the start may never have had the place.
        if buckets[bucket.key] === bucket { buckets[bucket.key] = nil }
        // What was begun and could not be written into.
        if bucket.writer.contents.batches == 0 {
            try? places.journal.remove(bucket.writer.plan.name.open)
            return
        }
        // Statistics are not worth a journal that cannot be sealed.
        try? bucket.writeStatistics()
        let plan = bucket.writer.plan
        if bucket.isDirty, options.isDurable {
            let copy = duplicate(bucket.writer.descriptor)
            if copy >= 0 { retired.append(copy) }
        }
        sealing[plan.name] = (bucket.writer.end, bucket.index?.batches.count ?? 0)
        sealer.post(
            SealJob(
                journal: plan.name, state: bucket.sensor.state, linkType: plan.linkType, extent: bucket.writer.end,
                ranges: bucket.writer.contents.identities.ranges, packets: bucket.writer.contents.packets,
                base: CollectorNames.base(
                    sensor: plan.sensor, linkType: plan.linkType, start: plan.window.lowerBound),
                index: bucket.index))
    }

    /// A file was made, or the next life will have to.
    func sealed(_ name: CacheFileName) { indexed -= sealing.removeValue(forKey: name)?.indexed ?? 0 }

    /// Runs that have batches in buckets.
    var runs: Set<RunIdentity> {
        Set(buckets.values.flatMap { $0.writer.contents.identities.lanes.map(\.run) })
    }
}
