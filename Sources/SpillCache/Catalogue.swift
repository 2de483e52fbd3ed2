public import Machine

/// What the relay knows of its cache: the files, and for each destination which batches of each file it is owed.
///
/// One thread owns it, the one that delivers. It is a view over memory taken once; its size does not depend on what is on
/// disk. Of each file there is a summary, and per destination a bit for each batch. What must be known of single batches is
/// in **maps**, of which there are only a few: the files that are being written or sent have one.
@safe public struct Catalogue: BitwiseCopyable, @unchecked Sendable {
    // Safe because its memory lives as long as the process, one thread owns it, and places come only from itself.
    let files: UnsafeMutablePointer<CatalogueFile>
    let claims: UnsafeMutablePointer<Claim>
    let bits: UnsafeMutablePointer<UInt64>
    let claimants: UnsafeMutablePointer<Claimant>
    let maps: UnsafeMutablePointer<FileMap>
    let batches: UnsafeMutablePointer<DiskBatch>
    let order: UnsafeMutablePointer<UInt16>
    let trust: UnsafeMutablePointer<Trust>
    let totals: UnsafeMutablePointer<CatalogueTotals>
    /// Files there can be at once.
    public let fileLimit: Int
    /// Destinations that can be owed something.
    public let claimantCount: Int
    let mapCount: Int

    /// Batches a file can have; a file that has them is sealed. A file of 256 MiB has as many if they are of 64 KiB.
    public static var batchesPerFile: Int { @_noLocks get { 4096 } }
    static var wordsPerClaim: Int { @_noLocks get { 64 } }
    /// Files that are written at the same time at most.
    public static var openFiles: Int { @_noLocks get { 4 } }

    /// Files for which there is room beside this many destinations.
    public static func fileLimit(claimants: Int) -> Int {
        min(4096, max(1024, (16 << 20) / bytesPerFile(claimants: max(claimants, 1))))
    }

    private static func bytesPerFile(claimants: Int) -> Int {
        MemoryLayout<CatalogueFile>.stride + claimants * (MemoryLayout<Claim>.stride + 8 * wordsPerClaim)
    }

    private static func mapCount(claimants: Int) -> Int { openFiles + 4 + 2 * claimants }

    /// Bytes it takes, for the budget.
    public static func byteCount(claimants: Int) -> Int {
        fileLimit(claimants: claimants) * bytesPerFile(claimants: claimants)
            + mapCount(claimants: claimants) * batchesPerFile * (MemoryLayout<DiskBatch>.stride + 2 + 1) + 9 * 4096
    }

    /// An empty catalogue.
    public init(claimants count: Int) throws(SystemError) {
        let fileLimit = Self.fileLimit(claimants: count)
        let mapCount = Self.mapCount(claimants: count)
        let pairs = fileLimit * max(count, 1)
        unsafe files = try Self.take(fileLimit, CatalogueFile())
        unsafe claims = try Self.take(pairs, Claim())
        unsafe bits = try Self.take(pairs * Self.wordsPerClaim, UInt64(0))
        unsafe claimants = try Self.take(max(count, 1), Claimant())
        unsafe maps = try Self.take(mapCount, FileMap())
        // Zeroed by the kernel, and not touched before it is used.
        let mapped = mapCount * Self.batchesPerFile
        unsafe batches = try MemoryRegion(
            byteCount: mapped * MemoryLayout<DiskBatch>.stride, pages: .off, touched: false
        ).base.assumingMemoryBound(to: DiskBatch.self)
        unsafe order = try MemoryRegion(byteCount: mapped * 2, pages: .off, touched: false)
            .base.assumingMemoryBound(to: UInt16.self)
        unsafe trust = try MemoryRegion(byteCount: mapped, pages: .off, touched: false)
            .base.assumingMemoryBound(to: Trust.self)
        unsafe totals = try Self.take(1, CatalogueTotals())
        (self.fileLimit, claimantCount, self.mapCount) = (fileLimit, count, mapCount)
    }

    private static func take<Element: BitwiseCopyable>(
        _ count: Int, _ element: Element
    ) throws(SystemError) -> UnsafeMutablePointer<Element> {
        let region = try MemoryRegion(byteCount: count * MemoryLayout<Element>.stride, pages: .off)
        let pointer = unsafe region.base.bindMemory(to: Element.self, capacity: count)
        unsafe pointer.initialize(repeating: element, count: count)
        return unsafe pointer
    }

    // ---- places --------------------------------------------------------------------------------------------------

    /// The file at a place.
    public subscript(file place: UInt32) -> CatalogueFile {
        @_noLocks get { unsafe files[Int(place)] }
        @_noLocks nonmutating set { unsafe files[Int(place)] = newValue }
    }

    /// What a destination is owed in a file.
    @_noLocks func claim(_ claimant: Int, _ file: UInt32) -> UnsafeMutablePointer<Claim> {
        unsafe claims + (Int(file) * claimantCount + claimant)
    }

    @_noLocks func words(_ claimant: Int, _ file: UInt32) -> UnsafeMutablePointer<UInt64> {
        unsafe bits + (Int(file) * claimantCount + claimant) * 64
    }

    @_noLocks func mapped(_ map: Int32) -> UnsafeMutablePointer<DiskBatch> {
        unsafe batches + Int(map) * 4096
    }

    @_noLocks func ranks(_ map: Int32) -> UnsafeMutablePointer<UInt16> { unsafe order + Int(map) * 4096 }

    /// Places at and above this one are vacant.
    public var used: Int { @_noLocks get { unsafe totals.pointee.used } }
    /// Bytes of all files on disk.
    public var byteCount: UInt64 { @_noLocks get { unsafe totals.pointee.bytes } }
    /// Whether something is on its way into it.
    public var isGrowing: Bool {
        @_noLocks get { unsafe totals.pointee.isGrowing }
        @_noLocks nonmutating set { unsafe totals.pointee.isGrowing = newValue }
    }
    /// Files there are.
    public var fileCount: Int { @_noLocks get { unsafe totals.pointee.files } }
    /// Packets a destination is owed that are only on disk, in flight included.
    @_noLocks public func owedPackets(_ claimant: Int) -> UInt64 { unsafe claimants[claimant].owedPackets }
    /// Batches a destination is owed on disk that are not in flight.
    @_noLocks public func unsentBatches(_ claimant: Int) -> UInt64 { unsafe claimants[claimant].unsent }
}

/// Sums over the whole catalogue.
struct CatalogueTotals: BitwiseCopyable {
    var used = 0
    var files = 0
    var bytes: UInt64 = 0
    var isGrowing = false
    var hasBad = false
}

/// What a destination is owed in one file.
struct Claim: BitwiseCopyable {
    /// Batches that it was not sent: as many as there are bits.
    var unsent: UInt32 = 0
    /// Those and what is in flight.
    var owed: UInt32 = 0
    var owedPackets: UInt64 = 0

    @_noLocks init() {}
}

/// A destination, with its place in what it is owed.
struct Claimant: BitwiseCopyable {
    var owedPackets: UInt64 = 0
    var unsent: UInt64 = 0
    /// The file it is being sent from, and the place in that file's order that is looked at next.
    var file: UInt32 = .max
    var rank: Int32 = 0
    /// Something was added or put back, so that the next batch is to be looked for anew.
    var isStale = true
    /// The file whose map it waits for; `UInt32.max` if none.
    var wanted: UInt32 = .max
}

/// A map: what is known of each batch of one file.
struct FileMap: BitwiseCopyable {
    var file: UInt32 = .max
}
