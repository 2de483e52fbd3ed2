/// A handle to one inner node: up to 64 subtrees with the first beginning and a summary of each.
///
/// Safe to use without marks for the same reason as `Leaf`.
@frozen @safe @usableFromInline
struct Inner<Bound: FragmentBound, Payload: PayloadTraits>: Equatable {
    @usableFromInline let base: UnsafeMutableRawPointer

    @inlinable @inline(always) init(_ base: UnsafeMutableRawPointer) { unsafe self.base = base }

    @inlinable @inline(always) static func == (left: Inner, right: Inner) -> Bool {
        unsafe left.base == right.base
    }

    /// Allocates a node with no subtrees.
    @inlinable init() {
        let alignment = max(16, MemoryLayout<Bound>.alignment)
        unsafe base = UnsafeMutableRawPointer.allocate(byteCount: Self.byteCount, alignment: alignment)
        unsafe base.initializeMemory(as: Int.self, to: 0)
        unsafe (base + 16).initializeMemory(as: Bound.self, repeating: .max, count: NodeSize.inner)
    }

    @inlinable @inline(always) static var childrenOffset: Int {
        (16 &+ NodeSize.inner &* MemoryLayout<Bound>.stride &+ 15) & ~15
    }

    @inlinable @inline(always) static var summariesOffset: Int {
        childrenOffset &+ NodeSize.inner &* MemoryLayout<Int>.stride
    }

    @inlinable static var byteCount: Int {
        summariesOffset + NodeSize.inner * MemoryLayout<Summary<Bound>>.stride
    }

    @inlinable @inline(always) var count: Int {
        get { unsafe base.assumingMemoryBound(to: Int.self).pointee }
        nonmutating set { unsafe base.assumingMemoryBound(to: Int.self).pointee = newValue }
    }

    /// The first beginning in each subtree; unused ones are `Bound.max`.
    @inlinable @inline(always) var keys: UnsafeMutablePointer<Bound> {
        unsafe (base + 16).assumingMemoryBound(to: Bound.self)
    }

    @inlinable @inline(always) var children: UnsafeMutablePointer<UnsafeMutableRawPointer> {
        unsafe (base + Self.childrenOffset).assumingMemoryBound(to: UnsafeMutableRawPointer.self)
    }

    @inlinable @inline(always) var summaries: UnsafeMutablePointer<Summary<Bound>> {
        unsafe (base + Self.summariesOffset).assumingMemoryBound(to: Summary<Bound>.self)
    }

    @inlinable @inline(always) func key(_ child: Int) -> Bound {
        assert(child >= 0 && child < NodeSize.inner)
        return unsafe keys[child]
    }

    @inlinable @inline(always) func setKey(_ child: Int, _ key: Bound) {
        assert(child >= 0 && child < count)
        unsafe keys[child] = key
    }

    @inlinable @inline(always) func summary(_ child: Int) -> Summary<Bound> {
        assert(child >= 0 && child < count)
        return unsafe summaries[child]
    }

    @inlinable @inline(always) func setSummary(_ child: Int, _ summary: Summary<Bound>) {
        assert(child >= 0 && child < count)
        unsafe summaries[child] = summary
    }

    @inlinable @inline(always) func leaf(_ child: Int) -> Leaf<Bound, Payload> {
        assert(child >= 0 && child < count)
        return unsafe Leaf(children[child])
    }

    @inlinable @inline(always) func inner(_ child: Int) -> Inner {
        assert(child >= 0 && child < count)
        return unsafe Inner(children[child])
    }

    /// The last subtree that can hold a range that begins before `position`; the first if there is none.
    @inlinable @inline(always) func child(before position: Bound) -> Int {
        let groups = unsafe count4(keys + 7, 8, position) &+ count3(keys + 39, 8, position)
        let group = unsafe keys + groups &* 8
        let behind = unsafe groups &* 8 &+ count4(group, 1, position) &+ count4(group + 4, 1, position)
        return max(behind &- 1, 0)
    }

    @inlinable @inline(always)
    func count4(_ first: UnsafeMutablePointer<Bound>, _ step: Int, _ position: Bound) -> Int {
        unsafe count3(first, step, position) &+ (first[3 &* step] < position ? 1 : 0)
    }

    @inlinable @inline(always)
    func count3(_ first: UnsafeMutablePointer<Bound>, _ step: Int, _ position: Bound) -> Int {
        let a = unsafe first[0] < position ? 1 : 0
        let b = unsafe first[step] < position ? 1 : 0
        let c = unsafe first[2 &* step] < position ? 1 : 0
        return a &+ b &+ c
    }

    /// Opens entry `child` for a subtree. The node must not be full.
    @inlinable func insert(_ node: UnsafeMutableRawPointer, key: Bound, _ summary: Summary<Bound>, at child: Int) {
        assert(count < NodeSize.inner && child <= count)
        let tail = count - child
        unsafe (keys + child + 1).update(from: keys + child, count: tail)
        unsafe (children + child + 1).update(from: children + child, count: tail)
        unsafe (summaries + child + 1).update(from: summaries + child, count: tail)
        unsafe keys[child] = key
        unsafe children[child] = node
        unsafe summaries[child] = summary
        count += 1
    }

    /// Takes entry `child` out; the subtree itself is left alone.
    @inlinable func remove(_ child: Int) {
        assert(child < count)
        let tail = count - child - 1
        unsafe (keys + child).update(from: keys + child + 1, count: tail)
        unsafe keys[count - 1] = .max
        unsafe (children + child).update(from: children + child + 1, count: tail)
        unsafe (summaries + child).update(from: summaries + child + 1, count: tail)
        count -= 1
    }

    /// Moves the entries from `child` on to the end of another node.
    @inlinable func moveTail(from child: Int, to other: Inner) {
        let moved = count - child
        assert(other.count + moved <= NodeSize.inner)
        unsafe (other.keys + other.count).update(from: keys + child, count: moved)
        unsafe (keys + child).update(repeating: .max, count: moved)
        unsafe (other.children + other.count).update(from: children + child, count: moved)
        unsafe (other.summaries + other.count).update(from: summaries + child, count: moved)
        count = child
        other.count += moved
    }

    /// The sum of all summaries. O(capacity).
    @inlinable func total() -> Summary<Bound> {
        var total = Summary<Bound>()
        for child in 0..<count { total.add(summary(child)) }
        return total
    }

    /// The longest length in the first `limit` subtrees; at least `enough` ends the search.
    @inlinable func largest(of limit: Int, enough: Bound) -> Bound {
        var largest: Bound = 0
        for child in 0..<limit {
            largest = max(largest, summary(child).largest)
            if largest >= enough { break }
        }
        return largest
    }

    @inlinable func deallocate() { unsafe base.deallocate() }
}
