internal import Machine
internal import Pcapng

/// Puts any number of records into the order of their times, in memory that is fixed: an external merge sort
/// (D. Knuth, The Art of Computer Programming, volume 3, section 5.4).
///
/// Records of equal times keep the order in which they came. What is known to be followed by nothing earlier goes out as
/// soon as room is needed, so that records that come nearly in order need no disk at all.
final class RecordSorter {
    /// Runs of one level that are merged into one of the next, so that few are open at once.
    static let fanIn = 16

    private var buffer: RecordBuffer
    private var runs: [SortedRun] = []
    private let directory: DirectoryHandle
    private let name: String
    /// Runs written so far, merged ones included.
    private(set) var runsWritten = 0

    /// Sorts through files in a directory, which have names only for a moment.
    ///
    /// - Parameter memory: bytes of records held at a time.
    init(memory: Int, name: String, in directory: DirectoryHandle) {
        buffer = RecordBuffer(capacity: memory)
        (self.name, self.directory) = (name, directory)
    }

    /// Adds a record; returns its interface id in the output.
    ///
    /// - Parameters:
    ///   - map: from its interface ids to those of the output; empty where they are the same.
    ///   - safe: asked when room is needed: the time before which no record will come any more.
    func add(
        _ base: UnsafeRawPointer, map: [UInt32], safe: () -> UInt64, into output: inout CaptureOutput
    ) throws(SystemError) -> UInt32 {
        let record = unsafe RecordView(base)
        if !buffer.hasRoom(record.byteCount), !buffer.isEmpty {
            try makeRoom(safe(), into: &output)
            if !buffer.hasRoom(record.byteCount), !buffer.isEmpty { try spill() }
        }
        return unsafe buffer.add(record, from: base, map: map)
    }

    /// Writes everything that is left.
    func finish(into output: inout CaptureOutput) throws(SystemError) {
        buffer.sort()
        try merge(runs, withBuffer: true, below: nil, into: &output)
        runs = []
    }

    private func makeRoom(_ safe: UInt64, into output: inout CaptureOutput) throws(SystemError) {
        let before = buffer.byteCount
        buffer.sort()
        try merge(runs, withBuffer: true, below: safe, into: &output)
        runs.removeAll { $0.isAtEnd }
        // To move the same records again and again would cost more than to write them once.
        if buffer.byteCount > before / 2 { return try spill() }
        buffer.compact()
    }

    /// Writes the buffer as a run, and merges runs where there are many of one level.
    private func spill() throws(SystemError) {
        buffer.sort()
        try append(level: 0) { output throws(SystemError) in
            try merge([], withBuffer: true, below: nil, into: &output)
        }
        buffer.compact()
        while let level = runs.last?.level, runs.suffix(Self.fanIn).filter({ $0.level == level }).count == Self.fanIn {
            let last = Array(runs.suffix(Self.fanIn))
            runs.removeLast(Self.fanIn)
            try append(level: level + 1) { output throws(SystemError) in
                try merge(last, withBuffer: false, below: nil, into: &output)
            }
        }
    }

    private func append(
        level: Int, _ write: (inout CaptureOutput) throws(SystemError) -> Void
    ) throws(SystemError) {
        let run = try SortedRun(level: level, name: "\(name).run", in: directory, write)
        runs.append(run)
        runsWritten += 1
        CrashPoint.exportRunWritten.pass()
    }

    /// Writes the records of runs, and of the sorted buffer, whose times are below a limit. Of equal times those of earlier
    /// runs come first, and those of the buffer last: that is the order in which they came.
    private func merge(
        _ runs: [SortedRun], withBuffer: Bool, below limit: UInt64?, into output: inout CaptureOutput
    ) throws(SystemError) {
        while true {
            var first = -1
            var (least, second) = (UInt64.max, UInt64.max)
            for (place, run) in runs.enumerated() where !run.isAtEnd {
                if first < 0 || run.time < least {
                    (first, least, second) = (place, run.time, least)
                } else {
                    second = min(second, run.time)
                }
            }
            let bufferTime = withBuffer && !buffer.isEmpty ? buffer.time : nil
            let isBuffer = bufferTime.map { first < 0 || $0 < least } ?? false
            if isBuffer {
                // Ties go to the runs.
                let end = first < 0 ? limit : min(least, limit ?? .max)
                if let limit, buffer.time >= limit { return }
                try drainBuffer(below: end, into: &output)
                continue
            }
            guard first >= 0 else { return }
            if let limit, least >= limit { return }
            // One record at least; more as long as nobody else can be due.
            repeat {
                try unsafe output.append(runs[first].base, count: runs[first].recordBytes)
                try runs[first].advance()
            } while !runs[first].isAtEnd && runs[first].time < min(second, bufferTime ?? .max, limit ?? .max)
        }
    }

    private func drainBuffer(below end: UInt64?, into output: inout CaptureOutput) throws(SystemError) {
        repeat {
            let (base, count) = unsafe buffer.next
            try unsafe output.append(base, count: count)
            buffer.take()
        } while !buffer.isEmpty && end.map { buffer.time < $0 } ?? true
    }
}
