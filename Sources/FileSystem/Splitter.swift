import Glibc

/// Reads a chain in stretches and says of each record in them where it goes.
///
/// A stretch is looked at twice: first all of it for the fragments that carry ports, so that a later fragment that overtook
/// its first one still finds it; then record by record in order.
///
/// SAFETY: it owns the window and the list of records, and is used under the lock of its cluster.
@safe struct Splitter: ~Copyable, @unchecked Sendable {
    /// How far behind a fragment its first one is looked for, in bytes of the stream.
    static var lookAhead: Int { @_noLocks get { 1 << 18 } }
    private static let windowBytes = 1 << 21
    private static let recordsMax = limit

    /// Where in the stream the window begins.
    private(set) var position: UInt64 = 0

    private var parser: RecordParser?
    private var window: UnsafeMutableRawBufferPointer
    private var filled = 0
    /// Bytes at the beginning of the window that hold whole records, all of them in `records`.
    private var parsed = 0
    private let records: UnsafeMutablePointer<StreamRecord>
    private var recordCount = 0
    private var nextRecord = 0
    private var isFull = false
    private var needed = 0
    private var fragments = FragmentTable()
    private let mode: ClusterMode

    init(_ mode: ClusterMode) {
        self.mode = mode
        unsafe window = .allocate(byteCount: Self.windowBytes, alignment: 4096)
        unsafe records = .allocate(capacity: Self.recordsMax)
    }

    deinit {
        unsafe window.deallocate()
        unsafe records.deallocate()
    }

    /// Whether records are at hand.
    var hasRecords: Bool { nextRecord < recordCount }

    /// Reads another stretch. `.bytes` when there are records at hand.
    mutating func fill(from chain: Chain) -> ReadOutcome {
        dropGivenOn()
        if unsafe needed > window.count { enlarge() }
        let room = unsafe UnsafeMutableRawBufferPointer(rebasing: window[filled...])
        let outcome = unsafe chain.read(room, at: position + UInt64(filled))
        if case .bytes(let count) = outcome { filled += count }
        isFull = unsafe filled == window.count
        if parser == nil, let format = chain.format?.format { parser = RecordParser(format, mode: mode) }
        guard parser != nil else { return outcome }
        if !parse() { return .failure(EIO) }
        if hasRecords { return .bytes(parsed) }
        if case .bytes = outcome { return .bytes(0) }
        return outcome
    }

    /// Where in the stream the next record begins, also when it is not at hand.
    var nextPosition: UInt64 { hasRecords ? nextSource : position + UInt64(parsed) }

    /// Where the next record came from in the stream.
    var nextSource: UInt64 { position + UInt64(unsafe records[nextRecord].offset) }

    /// Takes the next record; nil when it is better to read on first, to see what follows a fragment.
    mutating func next() -> (record: StreamRecord, hash: UInt64, bytes: UnsafeRawPointer)? {
        var record = unsafe records[nextRecord]
        if record.flow.datagram != 0 {
            guard let hash = resolve(record) else { return nil }
            record.flow.hash = hash
        }
        nextRecord += 1
        return unsafe (record, record.flow.hash, UnsafeRawPointer(window.baseAddress! + record.offset))
    }

    /// Where a fragment goes.
    @_noLocks
    private mutating func resolve(_ record: StreamRecord) -> UInt64? {
        if !record.flow.isFirstFragment {
            if let known = fragments.hash(of: record.flow.datagram) { return known }
            let ahead = filled &- record.offset
            if isFull && ahead < Self.lookAhead && nextRecord > 0 { return nil }
        }
        fragments.note(record.flow.datagram, record.flow.hash)
        return record.flow.hash
    }

    private mutating func dropGivenOn() {
        let done = nextRecord < recordCount ? unsafe records[nextRecord].offset : parsed
        guard done > 0 else { return }
        unsafe window.baseAddress!.copyMemory(from: window.baseAddress! + done, byteCount: filled - done)
        for index in nextRecord..<recordCount {
            var record = unsafe records[index]
            record.offset -= done
            unsafe records[index - nextRecord] = record
        }
        recordCount -= nextRecord
        nextRecord = 0
        filled -= done
        parsed -= done
        position += UInt64(done)
    }

    private mutating func enlarge() {
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: needed, alignment: 4096)
        unsafe larger.baseAddress!.copyMemory(from: window.baseAddress!, byteCount: filled)
        unsafe window.deallocate()
        unsafe window = unsafe larger
    }

    /// Finds the whole records of the window. False if they cannot be told.
    @_noLocks
    private mutating func parse() -> Bool {
        let bytes = unsafe UnsafeRawBufferPointer(start: window.baseAddress, count: filled)
        needed = 0
        while recordCount < Self.limit {
            guard let step = unsafe parser?.step(bytes, at: parsed) else { return false }
            switch step {
            case .record(let record):
                if record.flow.isFirstFragment { fragments.note(record.flow.datagram, record.flow.hash) }
                unsafe records[recordCount] = record
                recordCount &+= 1
                parsed &+= record.length
            case .short(let count):
                needed = count
                return true
            case .damaged: return recordCount > 0
            }
        }
        return true
    }

    private static var limit: Int { @_noLocks get { 1 << 16 } }
}
