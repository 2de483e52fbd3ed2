/// A destination that is there no more.
extension Catalogue {
    /// Nothing on disk is owed to this destination any more. Nothing of it may be in flight.
    ///
    /// - Returns: the packets that were.
    public func release(_ claimant: Int) -> UInt64 {
        let packets = owedPackets(claimant)
        for file in 0..<UInt32(used) where unsafe claim(claimant, file).pointee.owed > 0 {
            unsafe claim(claimant, file).pointee = Claim()
            for word in 0..<Self.wordsPerClaim { unsafe words(claimant, file)[word] = 0 }
            unsafe files[Int(file)].isDirty = true
        }
        unsafe claimants[claimant] = Claimant()
        offer(claimant, runs: nil)
        return packets
    }
}
