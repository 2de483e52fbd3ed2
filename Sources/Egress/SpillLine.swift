internal import Admission
internal import Machine
internal import Pcapng
internal import SegmentPool
internal import Sending
internal import SpillCache

/// The egress thread's end of the way to disk: what is under way, and when there is reason to send more.
@safe struct SpillLine: ~Copyable {
    // Safe because its memory lives as long as the process, and a set is written only while nobody else has it.

    /// Segments under way at once at most.
    static var depth: Int { @_noLocks get { 8 } }

    private var jobs: RingProducer<SpillJob>
    private var results: RingConsumer<SpillResult>
    private let work: WakeSignal
    let catalogue: Catalogue
    let tools: SendingTools
    let checks: CheckQueue
    /// A set of batches for each segment under way, and which of the sets are free.
    private let sets: UnsafeMutablePointer<UInt64>
    private let wordsPerSet: Int
    private var freeSets: UInt32
    private var segments: InlineArray<8, UInt32>
    private(set) var underWay = 0
    /// How full memory may be before it is swept, and down to which.
    let marks: Watermarks
    let memoryAge: UInt64
    var isSweeping = false
    /// Everything is to leave memory.
    var sweepsAll = false
    /// Since when nothing can be written (errno), and when it is tried again (monotonic).
    var failure: Int32 = 0
    var nextTry: UInt64 = 0
    /// A file may be let go of because there is no room: once for each time that writing failed.
    var mayFree = false
    /// Writing may be tried again as soon as a file is gone, without the pause: once for each time that it went well.
    var mayHurry = true
    /// It is, when all that was to be removed is.
    var waitsForRemoval = false
    /// Files begun so far, and how many may be.
    var begun: UInt64 = 0
    let permit: FilePermit
    /// Nothing more is written, but for what is being written.
    let cancelled: StopFlag
    /// When the spill thread last said something, or was given something to do (monotonic).
    var lastAnswer: UInt64 = 0
    var isEnding = false
    private(set) var hasEnded = false

    init(
        _ setup: SpillSetup, catalogue: Catalogue, tools: SendingTools, checks: CheckQueue, marks: Watermarks,
        wordsPerSet: Int,
        jobs: consuming RingProducer<SpillJob>, results: consuming RingConsumer<SpillResult>, work: WakeSignal,
        permit: FilePermit, cancelled: StopFlag
    ) throws(SystemError) {
        let region = try MemoryRegion(byteCount: Self.depth * wordsPerSet * 8, pages: .off)
        unsafe sets = region.base.bindMemory(to: UInt64.self, capacity: Self.depth * wordsPerSet)
        self.jobs = jobs
        self.results = results
        self.work = work
        (self.permit, self.cancelled) = (permit, cancelled)
        (self.catalogue, self.tools, self.checks, self.wordsPerSet) = (catalogue, tools, checks, wordsPerSet)
        freeSets = 1 << UInt32(Self.depth) - 1
        segments = InlineArray(repeating: 0)
        self.marks = marks
        memoryAge = setup.memoryAge
    }

    /// Segments that are being written.
    var segmentsUnderWay: [UInt32] {
        (0..<Self.depth).filter { freeSets >> UInt32($0) & 1 == 0 }.map { segments[$0] }
    }

    /// As many files more as there are places.
    @_noLocks func permitFiles() { permit.files = begun &+ UInt64(max(0, catalogue.fileLimit - catalogue.fileCount)) }

    var hasRoom: Bool { @_noLocks get { underWay < Self.depth } }

    /// The next set that is free; there must be one.
    @_noLocks func freeSet() -> UnsafeMutablePointer<UInt64> {
        unsafe sets + freeSets.trailingZeroBitCount * wordsPerSet
    }

    /// Sends a segment off with the set that was free.
    @_noLocks mutating func send(_ segment: UInt32, batches: UInt32) {
        let place = freeSets.trailingZeroBitCount
        let fits = unsafe jobs.push(SpillJob(segment: segment, batches: batches, wanted: sets + place * wordsPerSet))
        precondition(fits, "the job ring has room for every segment under way")
        freeSets &= freeSets - 1
        segments[place] = segment
        underWay += 1
        catalogue.isGrowing = true
    }

    /// A segment is back.
    @_noLocks mutating func isBack(_ segment: UInt32) {
        var place = 0
        while place < Self.depth {
            if freeSets >> UInt32(truncatingIfNeeded: place) & 1 == 0, segments[place] == segment {
                freeSets |= 1 << UInt32(truncatingIfNeeded: place)
                underWay -= 1
                catalogue.isGrowing = underWay > 0
                return
            }
            place += 1
        }
    }

    /// Makes jobs visible.
    @_noLocks mutating func publish() {
        jobs.publish()
        work.wake()
    }

    @_noLocks mutating func nextResult() -> SpillResult? {
        let result = results.pop()
        if let result, case .ended = result.kind { hasEnded = true }
        return result
    }

    @_noLocks mutating func releaseResults() { results.release() }

    /// Nothing more is added to an open file. It is asked for once: while the disk does not answer the ring must not fill up.
    mutating func closeFile(_ place: UInt32) {
        guard case .open = catalogue[file: place].state, !catalogue[file: place].isClosing else { return }
        guard jobs.push(SpillJob(.close, number: catalogue[file: place].number)) else { return }
        catalogue[file: place].isClosing = true
        publish()
    }

    /// Files describe this lane from now on. There are few, and their blocks stay where they are put here.
    mutating func describe(lane block: [UInt8]) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: block.count, alignment: 8)
        unsafe memory.copyMemory(from: block, byteCount: block.count)
        var job = SpillJob(.lane)
        (job.batches, job.wanted) = (UInt32(block.count), UInt(bitPattern: memory))
        let fits = jobs.push(job)
        precondition(fits, "the job ring has room for the lanes that are added at once")
        publish()
    }

    /// Ends the thread once it has done what it was asked to.
    mutating func end() {
        guard !isEnding else { return }
        isEnding = jobs.push(SpillJob(.end))
        publish()
    }
}
