internal import CMachine
internal import CNuma
import Glibc

/// Which pages a region should have, or has.
public enum PageKind: String, Sendable, CaseIterable {
    /// The best that can be had: 2 MiB pages, transparent huge pages, ordinary pages.
    case auto
    /// 2 MiB pages from the kernel's pool (hugetlbpage).
    case huge2M = "2M"
    /// 1 GiB pages from the kernel's pool.
    case huge1G = "1G"
    /// Ordinary pages with MADV_HUGEPAGE (transparent huge pages).
    case transparent
    /// Ordinary pages.
    case off
}

/// Memory taken from the kernel once, on chosen pages and NUMA node, touched, and never given back.
///
/// It lives as long as the process on purpose: rings, segments and indices are shared between threads until the very
/// end, and giving the pages back a moment before exit would buy nothing.
@safe public struct MemoryRegion: @unchecked Sendable {
    /// First byte, aligned at least to a page.
    public let base: UnsafeMutableRawPointer
    /// Length in bytes, a multiple of the page size.
    public let byteCount: Int
    /// What was granted (never `.auto`).
    public let pages: PageKind

    /// Allocates zeroed memory and, unless that is left for later, touches it.
    ///
    /// - Parameters:
    ///   - byteCount: rounded up to the granted page size.
    ///   - pages: `.auto` falls back from 2 MiB pages to transparent to ordinary ones; a named kind is required.
    ///   - node: NUMA node to place it on, or nil for the kernel's choice.
    ///   - touched: whether to touch all of it now; otherwise call `touch` before a byte is used.
    public init(
        byteCount: Int, pages: PageKind, node: Int? = nil, touched: Bool = true
    ) throws(SystemError) {
        let (base, length, granted) = try unsafe Self.map(byteCount, pages)
        unsafe (self.base, self.byteCount, self.pages) = (base, length, granted)
        try bind(to: node)
        if touched { try touch(from: 0, byteCount: self.byteCount) }
    }

    /// Touches every page of a part once, so that no page fault, and no lack of memory, can surprise the data plane later.
    ///
    /// - Parameters:
    ///   - start: offset of the part, a multiple of the page size.
    ///   - byteCount: its length.
    public func touch(from start: Int, byteCount: Int) throws(SystemError) {
        // The kernel zeroes pages when it gives them out. Asked to do just that, it is half the work of writing to them,
        // and it says so when there are none.
        if unsafe madvise(base + start, byteCount, 23 /* MADV_POPULATE_WRITE, Linux 5.14 */) == 0 { return }
        guard errno == EINVAL else { throw SystemError("madvise", "\(byteCount) bytes of memory") }
        unsafe spillway_fill(base + start, 0, byteCount)
    }

    private static func map(
        _ byteCount: Int, _ pages: PageKind
    ) throws(SystemError) -> (UnsafeMutableRawPointer, Int, PageKind) {
        switch pages {
        case .huge2M: return unsafe (try mapPages(byteCount, shift: 21), roundUp(byteCount, 1 << 21), .huge2M)
        case .huge1G: return unsafe (try mapPages(byteCount, shift: 30), roundUp(byteCount, 1 << 30), .huge1G)
        case .off: return unsafe (try mapPages(byteCount, shift: 0), roundUp(byteCount, 4096), .off)
        case .transparent:
            // A 2 MiB boundary inside the mapping is what lets the kernel use huge pages at all.
            let length = roundUp(byteCount, 1 << 21)
            let raw = try unsafe mapPages(length + (1 << 21), shift: 0)
            let base = unsafe UnsafeMutableRawPointer(bitPattern: roundUp(Int(bitPattern: raw), 1 << 21))!
            let granted = unsafe madvise(base, length, 14 /* MADV_HUGEPAGE */) == 0
            return unsafe (base, length, granted ? .transparent : .off)
        case .auto:
            if byteCount >= 1 << 21, let base = try? unsafe mapPages(byteCount, shift: 21) {
                return unsafe (base, roundUp(byteCount, 1 << 21), .huge2M)
            }
            return try unsafe map(byteCount, byteCount >= 1 << 21 ? .transparent : .off)
        }
    }

    private static func mapPages(
        _ byteCount: Int, shift: Int32
    ) throws(SystemError) -> UnsafeMutableRawPointer {
        let length = roundUp(byteCount, shift == 0 ? 4096 : 1 << Int(shift))
        guard let base = unsafe spillway_map_anonymous(length, shift) else {
            let pages = "\(length >> Int(shift)) huge pages of \(shift == 30 ? "1 GiB" : "2 MiB")"
            throw SystemError(
                "mmap",
                shift == 0
                    ? "\(length) bytes of memory"
                    : "\(pages) (reserve them in /sys/kernel/mm/hugepages, or use --hugepages auto)")
        }
        return unsafe base
    }

    /// Asks for one node (mbind(2)); a machine without NUMA has only node 0, where nothing needs to be said.
    private func bind(to node: Int?) throws(SystemError) {
        guard let node else { return }
        guard numa_available() >= 0 else {
            if node == 0 { return }
            throw SystemError("mbind", "NUMA node \(node)", code: ENOSYS)
        }
        guard node >= 0, node <= Int(numa_max_node()) else {
            throw SystemError("mbind", "NUMA node \(node)", code: EINVAL)
        }
        var mask = [UInt](repeating: 0, count: node / 64 + 1)
        mask[node / 64] = 1 << UInt(node % 64)
        let status = unsafe mask.withUnsafeBufferPointer {
            unsafe mbind(base, UInt(byteCount), MPOL_BIND, $0.baseAddress, UInt(node) + 2, 0)
        }
        if status != 0 { throw SystemError("mbind", "NUMA node \(node)") }
    }

    /// The NUMA node of a CPU, or nil on a machine without NUMA.
    public static func node(ofCPU cpu: Int) -> Int? {
        guard numa_available() >= 0 else { return nil }
        let node = numa_node_of_cpu(Int32(cpu))
        return node >= 0 ? Int(node) : nil
    }
}

/// Rounds up to a multiple of `unit`, which is a power of two.
@_noLocks @inlinable @inline(__always)
public func roundUp(_ value: Int, _ unit: Int) -> Int {
    (value + unit - 1) & ~(unit - 1)
}
