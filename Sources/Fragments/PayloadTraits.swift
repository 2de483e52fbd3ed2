/// What a payload must say about itself so that a list can cut, keep and merge it.
///
/// Everything has a default; a payload that is not `Equatable` must at least say what `mayMerge(_:_:)` means.
/// The laws, which lists rely on:
///
/// - *Cutting changes no kinship*: what `mayMerge` says of two touching fragments stays the same when their
///   outer ends are cut.
/// - *Merging keeps the left payload*: when `mayMerge(left, right)` holds, the joined fragment carries the
///   payload of `left`.
/// - *`merge` covers exactly* the union of the run and the new fragment, in order and without overlap. This
///   one is checked; see `FragmentError.invalidMerge`.
public protocol PayloadTraits {
    /// True when every two touching fragments are one. Such a list needs no further look at its payloads.
    static var mergesAlways: Bool { get }

    /// False when a fragment of length zero is an error, see `FragmentError.emptyRange`.
    static var allowsEmptyFragments: Bool { get }

    /// Whether two fragments, the first ending where the second begins, are stored as one. The default for
    /// payloads that are `Equatable` is whether these are equal.
    static func mayMerge<Bound: FragmentBound>(_ left: Fragment<Bound, Self>, _ right: Fragment<Bound, Self>) -> Bool

    /// The payload of `part`, cut out of a fragment over `whole` that carries this payload.
    ///
    /// The default is the payload itself. A payload that names a position, such as an offset into a file,
    /// moves it here by `part.lowerBound - whole.lowerBound`.
    func cut<Bound: FragmentBound>(from whole: Range<Bound>, to part: Range<Bound>) -> Self

    /// The payload where `new` is laid over a fragment that carries `existing`; both are already cut to the
    /// same range. The default is `new`.
    static func overlay(_ new: Self, on existing: Self) -> Self

    /// What comes of merging the run of fragments that overlap or touch `new` with `new`.
    ///
    /// The default keeps what lies outside of `new`, uses `overlay(_:on:)` where both are, and `new` in the
    /// gaps. `MergedRun` joins neighbours for which `mayMerge` holds.
    ///
    /// - Parameters:
    ///   - run: one or more fragments of the list, in order.
    ///   - new: the fragment that is being inserted; it is not empty.
    ///   - result: takes the fragments that replace the run, in order.
    static func merge<Bound: FragmentBound>(
        _ run: [Fragment<Bound, Self>], with new: Fragment<Bound, Self>, into result: inout MergedRun<Bound, Self>)
}

extension PayloadTraits {
    /// False: `mayMerge(_:_:)` is asked.
    @inlinable public static var mergesAlways: Bool { false }

    /// True: an empty fragment is a fragment, although no list ever stores one.
    @inlinable public static var allowsEmptyFragments: Bool { true }

    /// The payload itself.
    @inlinable public func cut<Bound: FragmentBound>(from whole: Range<Bound>, to part: Range<Bound>) -> Self {
        self
    }

    /// The new payload.
    @inlinable public static func overlay(_ new: Self, on existing: Self) -> Self { new }

    /// Lays `new` over the run; see the requirement.
    @inlinable public static func merge<Bound: FragmentBound>(
        _ run: [Fragment<Bound, Self>], with new: Fragment<Bound, Self>, into result: inout MergedRun<Bound, Self>
    ) {
        var position = new.lowerBound
        for old in run {
            if old.lowerBound < new.lowerBound {
                result.append(old.clamped(to: old.lowerBound..<min(old.upperBound, new.lowerBound)))
            }
            let gapEnd = min(old.lowerBound, new.upperBound)
            if position < gapEnd { result.append(new.clamped(to: position..<gapEnd)) }
            let common = old.range.clamped(to: new.range)
            if !common.isEmpty {
                let payload = overlay(new.clamped(to: common).payload, on: old.clamped(to: common).payload)
                result.append(Fragment(unchecked: common, payload))
            }
            if old.upperBound > new.upperBound {
                result.append(old.clamped(to: max(old.lowerBound, new.upperBound)..<old.upperBound))
            }
            position = max(position, min(old.upperBound, new.upperBound))
        }
        if position < new.upperBound { result.append(new.clamped(to: position..<new.upperBound)) }
    }
}

extension PayloadTraits where Self: Equatable {
    /// Whether the payloads are equal.
    @inlinable public static func mayMerge<Bound: FragmentBound>(
        _ left: Fragment<Bound, Self>, _ right: Fragment<Bound, Self>
    ) -> Bool {
        left.payload == right.payload
    }
}

/// The payload of a fragment that carries nothing but its range. It takes no memory.
@frozen public struct NoPayload: PayloadTraits, Hashable, Sendable, BitwiseCopyable {
    /// The only value.
    @inlinable public init() {}

    /// True: ranges that touch are one range.
    @inlinable public static var mergesAlways: Bool { true }
}

/// Collects the fragments that a merge puts in place of a run, and joins those that may be one.
public struct MergedRun<Bound: FragmentBound, Payload: PayloadTraits> {
    /// The fragments so far.
    @inlinable public var fragments: [Fragment<Bound, Payload>] { stored }
    @usableFromInline var stored: [Fragment<Bound, Payload>] = []
    /// False as soon as a fragment was appended that does not begin where the last one ended.
    @inlinable public var isContiguous: Bool { !isBroken }
    @usableFromInline var isBroken = false

    /// An empty result.
    @inlinable public init() {}

    /// Adds the next fragment, which must begin where the last one ended. An empty one is left out.
    ///
    /// - Complexity: O(1), amortised.
    @inlinable public mutating func append(_ fragment: Fragment<Bound, Payload>) {
        if fragment.isEmpty { return }
        guard let last = stored.last else {
            stored.append(fragment)
            return
        }
        if last.upperBound != fragment.lowerBound { isBroken = true }
        if Payload.mergesAlways || Payload.mayMerge(last, fragment) {
            let joined = last.lowerBound..<max(last.upperBound, fragment.upperBound)
            stored[stored.count - 1] = Fragment(unchecked: joined, last.payload)
        } else {
            stored.append(fragment)
        }
    }
}
