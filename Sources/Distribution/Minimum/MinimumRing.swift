internal import CDistribution
internal import CMachine
internal import Glibc
internal import Machine

/// The ring of a ``MinimumSender`` and the memory its operations point to.
@safe final class MinimumRing {
    // Safe because this object owns all the memory and frees it after the ring, which is the only other user.
    private let ring: OpaquePointer
    private(set) var arena: UnsafeMutableRawPointer
    private var arenaBytes = 0
    /// The places of receivers that failed, while something may be under way with them.
    private var failed: [UInt32] = []
    private let messages: UnsafeMutablePointer<msghdr>
    private let pieces: UnsafeMutablePointer<iovec>
    private let answers: UnsafeMutableRawPointer

    private static let count = MinimumSender.greatestCount
    /// Bytes of answers a receiver can give to one call: two receipts, or a greeting.
    private static let answerBytes = 256
    /// The place of the file in the ring's table; receivers have those before.
    private static let fileSlot = UInt32(count)

    init() throws(SendError) {
        guard let ring = unsafe spillway_ring_open(UInt32(4 * Self.count + 8), UInt32(Self.count + 1)) else {
            throw .kernel(SystemError("io_uring_setup", "--method minimum"))
        }
        unsafe self.ring = ring
        unsafe arena = UnsafeMutableRawPointer(bitPattern: 4096)!
        unsafe messages = .allocate(capacity: Self.count)
        unsafe messages.initialize(repeating: msghdr(), count: Self.count)
        unsafe pieces = .allocate(capacity: 2 * Self.count)
        unsafe answers = .allocate(byteCount: Self.count * Self.answerBytes, alignment: 8)
    }

    deinit {
        unsafe spillway_ring_close(ring)
        if arenaBytes > 0 { unsafe munmap(arena, arenaBytes) }
        unsafe messages.deallocate()
        unsafe pieces.deallocate()
        unsafe answers.deallocate()
    }

    /// Makes room for the largest file.
    func makeRoom(_ size: UInt64) throws(SendError) {
        // Mapped always, so that the number of system calls does not depend on the allocator.
        arenaBytes = max(4096, Int(size))
        let place = unsafe mmap(
            nil, arenaBytes, PROT_READ | PROT_WRITE, Int32(MAP_PRIVATE) | Int32(MAP_ANONYMOUS) | Int32(MAP_NORESERVE),
            -1, 0)
        guard let place = unsafe place, unsafe place != MAP_FAILED else { throw .kernel(SystemError("mmap")) }
        unsafe arena = place
    }

    /// Looks at all files in one call.
    func look(_ paths: [String]) throws(SendError) -> [MinimumFile] {
        let each = spillway_look_bytes()
        let names = paths.map { StableBytes(path: $0) }
        let found = StableBytes([UInt8](repeating: 0, count: each * paths.count))
        for (place, name) in names.enumerated() {
            unsafe spillway_ring_look(ring, UInt32(place), name.text, found.start + place * each, Self.alone)
        }
        _ = withExtendedLifetime((names, found)) { unsafe spillway_ring_run(ring, 60_000_000_000) }
        var files: [MinimumFile] = []
        for (place, path) in paths.enumerated() {
            let status = unsafe spillway_ring_result(ring, UInt32(place))
            guard status == 0 else { throw SendError(path, -status) }
            files.append(try Self.file(path, number: place, unsafe spillway_look_at(found.start + place * each)))
        }
        return files
    }

    private static func file(_ path: String, number: Int, _ look: spillway_look) throws(SendError) -> MinimumFile {
        guard look.mode & UInt32(S_IFMT) == UInt32(S_IFREG) else {
            throw .unsuitable("\(path): --method minimum sends files, not directories")
        }
        guard look.size <= MinimumSender.greatestSize else {
            throw .unsuitable("\(path): --method minimum sends files of less than 2 GiB; leave it away for this one")
        }
        let name = path.split(separator: "/").last.map(String.init) ?? path
        let announcement = FileAnnouncement(
            number: UInt32(number), kind: .file, mode: look.mode & 0o7777, size: look.size, modified: look.modified,
            name: name)
        return MinimumFile(path, announcement, look)
    }

    private static let alone = Int32(SPILLWAY_RING_ALONE.rawValue)
    private static let thenNext = Int32(SPILLWAY_RING_THEN_NEXT.rawValue)
    private static let thenNextAnyway = Int32(SPILLWAY_RING_THEN_NEXT_ANYWAY.rawValue)
    /// Tags: the file, the gate, receivers (three operations each), and those that failed.
    private static let shutTag = UInt32(4), firstPeerTag = 5, firstCancelTag = 5 + 3 * count

    /// Connects, says hello, and waits for the answer, in one call: the body of the answer.
    func greet(_ peer: MinimumPeer, _ hello: [UInt8], _ time: UInt64) throws(ProtocolProblem) -> [UInt8] {
        let answer = 8 + 4 + 64
        var (address, length) = peer.endpoint.socketAddress
        var hello = hello
        unsafe withUnsafePointer(to: &address) { address in
            unsafe hello.withUnsafeMutableBytes { bytes in
                unsafe spillway_ring_socket(ring, 0, peer.slot, peer.endpoint.family, Self.thenNext)
                unsafe spillway_ring_connect(
                    ring, 1, peer.slot, UnsafeRawPointer(address).assumingMemoryBound(to: sockaddr.self), length,
                    Self.thenNext)
                unsafe pieces[0] = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                aim(peer.slot, 0, 1)
                unsafe spillway_ring_send(ring, 2, peer.slot, messages + Int(peer.slot), Self.thenNext)
                unsafe spillway_ring_receive(ring, 3, peer.slot, place(of: peer), UInt32(answer), Self.alone)
                _ = unsafe spillway_ring_run(ring, time)
            }
        }
        length = 0
        for (step, words) in ["cannot make a socket", "cannot connect", "cannot greet"].enumerated() {
            let status = unsafe spillway_ring_result(ring, UInt32(step))
            if status < 0 { throw .broken("\(words): \(reason(status == .min ? ETIMEDOUT : -status))") }
        }
        let count = unsafe spillway_ring_result(ring, 3)
        guard Int(count) == answer else {
            // Shorter answers are words of good-bye.
            let bytes = unsafe Array(UnsafeRawBufferPointer(start: place(of: peer), count: max(0, Int(count))))
            if bytes.count > 8, case .end(let code, let words)? = try? Message(.end, Array(bytes[8...])) {
                throw .ended(code, words)
            }
            throw .broken("no greeting came")
        }
        return unsafe Array(UnsafeRawBufferPointer(start: place(of: peer) + 8, count: answer - 8))
    }

    /// Points a receiver's message to some of the pieces.
    private func aim(_ slot: UInt32, _ first: Int, _ count: Int) {
        unsafe messages[Int(slot)].msg_iov = unsafe pieces + first
        unsafe messages[Int(slot)].msg_iovlen = count
    }

    private func place(of peer: MinimumPeer) -> UnsafeMutableRawPointer {
        unsafe answers + Int(peer.slot) * Self.answerBytes
    }

    /// Opens and reads a file, sends it to all receivers and waits for their receipts, in one call.
    ///
    /// - Returns: why the file could not be sent, and per receiver its receipts; nil for one that failed.
    func send(
        _ file: MinimumFile, to peers: [MinimumPeer], _ time: UInt64
    ) -> (failure: String?, receipts: [[Receipt]?]) {
        let size = file.announcement.size
        let path = StableBytes(path: file.path)
        let again = StableBytes([UInt8](repeating: 0, count: spillway_look_bytes()))
        let words = peers.map { peer in
            let data = size == 0 ? [] : Message.dataHeader(file: file.announcement.number, offset: 0, byteCount: size)
            return peer.pending + Message.file(file.announcement).encoded() + data
        }
        let texts = words.map { StableBytes($0) }
        cancelFailed()
        unsafe spillway_ring_shut_gate(ring, Self.shutTag)
        for (place, peer) in peers.enumerated() {
            unsafe pieces[2 * place] = iovec(iov_base: texts[place].start, iov_len: texts[place].count)
            unsafe pieces[2 * place + 1] = iovec(iov_base: arena, iov_len: Int(size))
            aim(peer.slot, 2 * place, size == 0 ? 1 : 2)
            let tag = Self.firstPeerTag + 3 * place
            unsafe spillway_ring_wait_at_gate(ring, UInt32(tag), Self.thenNext)
            exchange(peer, tag: tag + 1, receipts: peer.pendingFile == nil ? 1 : 2)
        }
        unsafe spillway_ring_open_file(ring, 0, Self.fileSlot, path.text, Self.thenNextAnyway)
        unsafe spillway_ring_read(ring, 1, Self.fileSlot, arena, UInt32(size), Self.thenNextAnyway)
        // Looked at after it was read: what has changed shows. What cannot be read is sent all the same, as whatever is in
        // the arena, because its length is promised; it is withdrawn with the next call.
        unsafe spillway_ring_look(ring, 2, path.text, again.start, Self.thenNextAnyway)
        unsafe spillway_ring_open_gate(ring, 3)
        _ = unsafe spillway_ring_run(ring, time)
        // Nothing of what the kernel was given may be let go of before this.
        let answers = peers.enumerated().map { place, peer in
            let count = peer.pendingFile == nil ? 1 : 2
            return receipts(
                peer, tag: Self.firstPeerTag + 3 * place + 1, sent: texts[place].count + Int(size), count: count)
        }
        return withExtendedLifetime((path, again, texts)) {
            (failure(of: file, unsafe spillway_look_at(again.start)), answers)
        }
    }

    private func failure(of file: MinimumFile, _ now: spillway_look) -> String? {
        let (opened, count) = unsafe (spillway_ring_result(ring, 0), spillway_ring_result(ring, 1))
        if opened < 0 { return "cannot open: \(reason(-opened))" }
        if count < 0, count != -ECANCELED { return "cannot read it: \(reason(-count))" }
        let then = file.identity
        let isSame =
            now.size == then.size && now.modified == then.modified && now.changed == then.changed
            && now.inode == then.inode && UInt64(max(0, count)) == then.size
        return isSame ? nil : "it changed while it was being sent"
    }

    /// Ends what is still under way with receivers that were given up, as part of the next call.
    private func cancelFailed() {
        for (place, slot) in failed.enumerated() {
            unsafe spillway_ring_cancel(ring, UInt32(Self.firstCancelTag + place), slot)
        }
        failed = []
    }

    private func fail(_ peer: MinimumPeer, _ why: String) {
        peer.fail(why)
        failed.append(peer.slot)
    }

    /// Sends a receiver its message and waits for so many receipts.
    private func exchange(_ peer: MinimumPeer, tag: Int, receipts: Int) {
        let order = receipts > 0 ? Self.thenNext : Self.alone
        unsafe spillway_ring_send(ring, UInt32(tag), peer.slot, messages + Int(peer.slot), order)
        if receipts == 0 { return }
        let count = UInt32(receipts * (Receipt.byteCount + 8))
        unsafe spillway_ring_receive(ring, UInt32(tag + 1), peer.slot, place(of: peer), count, Self.alone)
    }

    private func receipts(_ peer: MinimumPeer, tag: Int, sent: Int, count: Int) -> [Receipt]? {
        let status = unsafe spillway_ring_result(ring, UInt32(tag))
        guard Int(status) == sent else {
            fail(
                peer,
                status == .min || status >= 0 ? "no progress in time" : "the connection broke: \(reason(-status))")
            return nil
        }
        if count == 0 { return [] }
        let each = Receipt.byteCount + 8
        let got = unsafe spillway_ring_result(ring, UInt32(tag + 1))
        guard Int(got) == count * each else {
            fail(peer, got == .min ? "no receipt in time" : goodbye(of: peer, Int(got)))
            return nil
        }
        let all = (0..<count).map { number in
            unsafe Receipt(Array(UnsafeRawBufferPointer(start: place(of: peer) + number * each, count: each)))
        }
        guard !all.contains(where: { $0 == nil }) else {
            fail(peer, "what was sent makes no sense: no receipt")
            return nil
        }
        return all.compactMap { $0 }
    }

    /// What a peer said instead of what was waited for; or how the connection broke, if the count is -errno.
    private func goodbye(of peer: MinimumPeer, _ count: Int) -> String {
        if count < 0 { return "the connection broke: \(reason(Int32(-count)))" }
        let bytes = unsafe Array(UnsafeRawBufferPointer(start: place(of: peer), count: count))
        // It may stand behind a receipt.
        for start in [0, Receipt.byteCount + 8] where bytes.count > start + 8 {
            if case .end(let code, let words)? = try? Message(.end, Array(bytes[(start + 8)...])) {
                return "\(ProtocolProblem.ended(code, words))"
            }
        }
        return "ended by the peer"
    }

    /// Says what is pending to all, and waits for what there is to be answered, in one call.
    func settle(_ peers: [MinimumPeer], _ time: UInt64) -> [Receipt?] {
        let texts = peers.map { StableBytes($0.pending) }
        cancelFailed()
        for (place, peer) in peers.enumerated() where !peer.pending.isEmpty {
            unsafe pieces[place] = iovec(iov_base: texts[place].start, iov_len: texts[place].count)
            aim(peer.slot, place, 1)
            exchange(peer, tag: Self.firstPeerTag + 3 * place, receipts: peer.pendingFile == nil ? 0 : 1)
        }
        _ = unsafe spillway_ring_run(ring, time)
        return peers.enumerated().map { place, peer in
            if peer.pending.isEmpty { return nil }
            let count = peer.pendingFile == nil ? 0 : 1
            return receipts(peer, tag: Self.firstPeerTag + 3 * place, sent: texts[place].count, count: count)?.first
        }
    }
}

/// Bytes that stay where they are for as long as this object lives, for operations that are under way.
@safe final class StableBytes {
    // Safe because this object owns the memory, and whoever hands out the pointer keeps the object until the kernel is done.
    let start: UnsafeMutableRawPointer
    let count: Int

    init(_ bytes: [UInt8]) {
        count = bytes.count
        unsafe start = .allocate(byteCount: max(1, count), alignment: 8)
        unsafe UnsafeMutableRawBufferPointer(start: start, count: count).copyBytes(from: bytes)
    }

    /// A path as the kernel reads it.
    convenience init(path: String) { self.init(Array(path.utf8) + [0]) }

    deinit { unsafe start.deallocate() }

    /// The bytes as text that ends with a zero.
    var text: UnsafePointer<CChar> { unsafe UnsafePointer(start.assumingMemoryBound(to: CChar.self)) }
}
