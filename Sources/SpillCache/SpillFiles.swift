internal import Glibc
public import Machine
public import Pcapng

/// What is decided about the files of a spill cache.
public struct SpillFileLimits: Sendable {
    /// A file that has so many bytes is sealed.
    public var fileBytes: UInt64 = 256 << 20
    /// Nanoseconds of packet time that a file covers.
    public var window: UInt64 = 600_000_000_000
    /// Whether each write is synced before it counts.
    public var syncsWrites = false

    /// 256 MiB, ten minutes, no sync of single writes.
    public init() {}
}

/// A file that is being written.
public final class OpenSpillFile {
    var writer: CacheFileWriter
    /// N of its name, which is how the rest of the program calls it while it is written.
    public let number: UInt64
    var lastUse: UInt64 = 0

    init(_ writer: consuming CacheFileWriter, number: UInt64) {
        self.writer = writer
        self.number = number
    }

    /// Its name, and where its last block ends.
    public var name: CacheFileName { writer.plan.name }

    /// Room for this many more batches.
    var room: Int { Catalogue.batchesPerFile - Int(writer.contents.batches) }
}

/// The files that are being written, at most four, each for a window of packet time. One thread owns them.
public final class SpillFiles {
    private let directory: DirectoryHandle
    private let run: RunIdentity
    private let sensor: String
    private let limits: SpillFileLimits
    private var files: [OpenSpillFile] = []
    private var nextNumber: UInt64 = 0
    private var uses: UInt64 = 0
    /// Asked whether so many files may have been begun in all.
    private let mayBegin: (UInt64) -> Bool
    /// Called for a file that nothing is added to any more; its last writes may still fail to be sealed.
    private let whenClosed: (OpenSpillFile) -> Void

    /// The files of a run in a directory; there are none yet.
    ///
    /// - Parameters:
    ///   - mayBegin: whether so many files may have been begun in all.
    ///   - whenClosed: gets a file that nothing is added to any more.
    public init(
        in directory: DirectoryHandle, run: RunIdentity, sensor: String, limits: SpillFileLimits,
        mayBegin: @escaping (UInt64) -> Bool, whenClosed: @escaping (OpenSpillFile) -> Void
    ) {
        (self.directory, self.run, self.sensor, self.limits) = (directory, run, sensor, limits)
        (self.mayBegin, self.whenClosed) = (mayBegin, whenClosed)
    }

    /// Which window of packet time a batch belongs to.
    public func window(of leastTime: UInt64) -> UInt64 { leastTime / limits.window }

    /// How many bytes and batches may be added to the file of a window before another one is begun.
    public func room(in window: UInt64) -> (bytes: Int, batches: Int) {
        guard let file = find(window) else { return (Int(limits.fileBytes), Catalogue.batchesPerFile) }
        return (Int(limits.fileBytes - min(file.writer.end, limits.fileBytes)), file.room)
    }

    /// The file for a window, made if there is none; `whenBegun` hears of it then.
    ///
    /// - Throws: ENFILE if there may be no more files.
    public func file(
        for window: UInt64, linkType: UInt16, whenBegun: (OpenSpillFile) -> Void
    ) throws(SystemError) -> OpenSpillFile {
        uses += 1
        if let file = find(window) {
            file.lastUse = uses
            if !file.writer.isRemoved { return file }
            // Somebody has removed it, and what is in it goes with its last descriptor: nothing more shall.
            close(file)
        }
        if files.count == Catalogue.openFiles { close(files.min { $0.lastUse < $1.lastUse }!) }
        guard mayBegin(nextNumber + 1) else { throw SystemError("begin a file", directory.path, code: ENFILE) }
        let start = window * limits.window
        let plan = CacheFilePlan(
            kind: .spill, name: CacheFileName(start: start, run: run, number: nextNumber), sensor: sensor,
            linkType: linkType, window: start..<start + limits.window, application: "Spillway, sensor \(sensor)")
        let file = OpenSpillFile(try CacheFileWriter(plan, in: directory), number: nextNumber)
        nextNumber += 1
        file.lastUse = uses
        files.append(file)
        whenBegun(file)
        return file
    }

    /// Appends batches that lie one behind the other; they fit (`room(in:)`). Returns where the first of them begins.
    ///
    /// A file that is full then, or that could not be synced, takes no more, nor does one with an I/O error.
    public func append(
        _ batches: UnsafeRawBufferPointer, _ trailers: [BatchTrailer], of description: RunDescription,
        to file: OpenSpillFile
    ) throws(SystemError) -> UInt64 {
        do throws(SystemError) { try unsafe file.writer.append(batches, trailers, of: description) } catch {
            // A place on the disk may be bad for ever; the next try gets another one.
            if error.code == EIO, file.writer.contents.batches > 0 { close(file) }
            throw error
        }
        let start = file.writer.end - UInt64(batches.count)
        if limits.syncsWrites {
            do throws(SystemError) { try file.writer.sync() } catch {
                // After a failed sync nobody knows what is on disk, and asking again would be told a lie.
                close(file)
                throw error
            }
        }
        if file.writer.end >= limits.fileBytes || file.room == 0 { close(file) }
        return start
    }

    /// Nothing is added to a file any more.
    public func close(number: UInt64) {
        if let file = files.first(where: { $0.number == number }) { close(file) }
    }

    /// Nothing is added to any file any more.
    public func closeAll() {
        while let file = files.first { close(file) }
    }

    /// Files that are open, for a sync by another thread.
    public var descriptors: [Int32] { files.map { $0.writer.descriptor } }

    private func find(_ window: UInt64) -> OpenSpillFile? {
        files.first { $0.writer.plan.window.lowerBound == window * limits.window }
    }

    private func close(_ file: OpenSpillFile) {
        files.removeAll { $0 === file }
        whenClosed(file)
    }
}

extension OpenSpillFile {
    /// A descriptor of its own to read and to send from, negative if it cannot be had.
    public func openForReading() -> Int32 { writer.openForReading() }
}
