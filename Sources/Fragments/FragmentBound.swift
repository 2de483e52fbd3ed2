/// The integers a fragment can run over: every unsigned integer of fixed width, from `UInt8` to `UInt128`.
///
/// `Sendable` and `BitwiseCopyable` are met by all integers of the standard library; they are named here so
/// that errors can carry bounds and nodes can move them as plain memory.
public typealias FragmentBound = FixedWidthInteger & UnsignedInteger & Sendable & BitwiseCopyable
