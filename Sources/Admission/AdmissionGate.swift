internal import Synchronization

/// How much of the traffic goes to the live lane, from the thread that decides to the workers: one in N.
@safe public struct AdmissionGate: @unchecked Sendable {
    // Safe because the word lives as long as the process and is only touched atomically.
    private let word: UnsafePointer<Atomic<UInt32>>

    /// Everything is admitted.
    public init() {
        let word = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(1))
        unsafe self.word = UnsafePointer(word)
    }

    /// One in so many; at least 1.
    public var n: UInt32 { @_noLocks get { unsafe word.pointee.load(ordering: .relaxed) } }

    /// Says it to the workers.
    @_noLocks public func publish(_ n: UInt32) { unsafe word.pointee.store(n, ordering: .relaxed) }
}
