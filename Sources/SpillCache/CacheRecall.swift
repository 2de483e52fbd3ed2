internal import Glibc
public import Machine
internal import Pcapng
internal import Synchronization

/// The thread that reads what must be known of the batches of a file before they are sent. A file of an earlier life is
/// checked byte by byte on the way; one of this life is walked backwards, from trailer to trailer.
public final class CacheRecall: Sendable {
    /// A file to be read.
    public struct Request: Sendable {
        /// Its place in the catalogue.
        public var place: UInt32
        /// Its name.
        public var name: CacheFileName
        /// Where its last batch ends.
        public var end: UInt64
        /// Whether all of it is checked.
        public var isChecked: Bool

        /// A request.
        public init(place: UInt32, name: CacheFileName, end: UInt64, isChecked: Bool) {
            (self.place, self.name, self.end, self.isChecked) = (place, name, end, isChecked)
        }
    }

    /// What was found.
    public struct Answer: Sendable {
        /// What was asked for.
        public var request: Request
        /// To send from, the receiver's to close; negative if the file cannot be read.
        public var descriptor: Int32
        /// The good batches, in the order of the file.
        public var batches: [DiskBatch] = []
        /// The run's interfaces and lanes, where the file was checked.
        public var description: RunDescription?
        /// Why it cannot be read, nil if it can.
        public var problem: SystemError?
    }

    private let directory: DirectoryHandle
    private let requests = Mutex<[Request]>([])
    private let answers = Mutex<[Answer]>([])
    private let signal: WakeSignal
    private let wake: WakeSignal

    /// Starts the thread.
    ///
    /// - Parameter wake: woken when there is an answer.
    public init(_ directory: DirectoryHandle, wake: WakeSignal) throws(SystemError) {
        (self.directory, self.wake) = (directory, wake)
        signal = try WakeSignal()
        try PinnedThread(name: "recall", cpus: nil) { [self] in
            while true { turn() }
        }.detach()
    }

    /// Asks for a file.
    public func post(_ request: Request) {
        requests.withLock { $0.append(request) }
        signal.wake()
    }

    /// What was found since the last time.
    public func take() -> [Answer] {
        answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
    }

    private func turn() {
        signal.announceSleep()
        if requests.withLock({ $0.isEmpty }) {
            var descriptor = pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&descriptor, 1, 1000)
        }
        signal.announceAwake()
        let next = requests.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        guard let next else { return }
        let answer = answer(next)
        answers.withLock { $0.append(answer) }
        wake.wake()
    }

    private func answer(_ request: Request) -> Answer {
        var answer = Answer(request: request, descriptor: -1)
        do throws(SystemError) {
            // It may be sealed, and so get its other name, at any moment.
            var name = request.name.sealed
            for candidate in [request.name.sealed, request.name.open, request.name.sealed] {
                name = candidate
                answer.descriptor = directory.openForReading(name)
                if answer.descriptor != -ENOENT { break }
            }
            if answer.descriptor < 0 {
                throw SystemError("open", "\(directory.path)/\(name)", code: -answer.descriptor)
            }
            if request.isChecked {
                // Only a file of an earlier life is checked, and its name does not change any more.
                let report = try CacheScan.run(name, in: directory, limit: request.end) {
                    batch, _ throws(SystemError) in
                    answer.batches.append(DiskBatch(batch.check.trailer, at: batch.offset))
                }
                answer.description = report.section
            } else {
                answer.batches = try Self.walk(answer.descriptor, to: request.end, "\(directory.path)/\(name)")
            }
        } catch {
            if answer.descriptor >= 0 { close(answer.descriptor) }
            (answer.descriptor, answer.problem) = (-1, error)
        }
        return answer
    }

    /// The batches before a place, found by walking backwards over trailers and check blocks.
    private static func walk(_ descriptor: Int32, to end: UInt64, _ path: String) throws(SystemError) -> [DiskBatch] {
        var batches: [DiskBatch] = []
        var place = end
        var tail = [UInt8](repeating: 0, count: BatchTrailer.byteCount)
        while place > 0 {
            let count = min(Int(clamping: place), tail.count)
            let start = place - UInt64(count)
            let read = unsafe tail.withUnsafeMutableBytes {
                unsafe pread(descriptor, $0.baseAddress!, count, off_t(start))
            }
            guard read == count else { throw SystemError("read", path, code: read < 0 ? errno : EIO) }
            if count == tail.count, let trailer = unsafe tail.withUnsafeBytes({ unsafe trailer($0) }) {
                let length = UInt64(trailer.recordBytes) + UInt64(BatchTrailer.byteCount)
                guard length <= place else { throw SystemError("read", path, code: EUCLEAN) }
                place -= length
                batches.append(DiskBatch(trailer, at: place))
                continue
            }
            guard let length = CheckBlock.lengthCovered(tail.prefix(count)), length <= place else {
                throw SystemError("read", path, code: EUCLEAN)
            }
            place -= length
        }
        return batches.reversed()
    }

    private static func trailer(_ bytes: UnsafeRawBufferPointer) -> BatchTrailer? {
        guard unsafe bytes.loadUnaligned(as: UInt32.self) == BlockType.batchTrailer,
            unsafe bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self) == UInt32(BatchTrailer.byteCount)
        else { return nil }
        return unsafe BatchTrailer(reading: bytes.baseAddress!)
    }
}

extension DiskBatch {
    /// The batch of a trailer, which begins at a place.
    init(_ trailer: BatchTrailer, at offset: UInt64) {
        self.init(
            offset: offset, arrival: trailer.lastArrival, number: trailer.number,
            bytes: trailer.recordBytes + UInt32(BatchTrailer.byteCount), packets: trailer.packets,
            worker: trailer.worker, lane: trailer.lane)
    }
}

extension CheckBlock {
    /// If these bytes end with a check block: its length and that of what it covers.
    static func lengthCovered(_ bytes: ArraySlice<UInt8>) -> UInt64? {
        var source = ByteSource(bytes.suffix(byteCount))
        guard let type: UInt32 = try? source.number(), type == BlockType.check,
            let length: UInt32 = try? source.number(), length == UInt32(byteCount),
            let covered: UInt32 = try? source.number()
        else { return nil }
        return UInt64(byteCount) + UInt64(covered)
    }
}
