public import Pcapng

/// What is owed to one destination passes to another. Control plane.
extension Catalogue {
    /// Batches of a file that a destination was not sent.
    public func unsentBatches(_ claimant: Int, in file: UInt32) -> UInt32 {
        unsafe claim(claimant, file).pointee.unsent
    }

    /// Asks for the map of a file for a destination, unless it waits for another one.
    public func want(_ claimant: Int, _ file: UInt32) {
        if unsafe claimants[claimant].wanted == .max { unsafe claimants[claimant].wanted = file }
    }

    /// A batch that was not sent is from now on owed to another destination.
    public func move(_ place: DiskPlace, from claimant: Int, to heir: Int, packets: UInt32) {
        take(claimant, place)
        settle(claimant, place, packets: packets)
        unsafe claimants[claimant].isStale = true
        owe(heir, place, packets: packets, isUnsent: true)
    }

    /// Whether batches of earlier runs are left where they are, though they are owed to a destination.
    public func leaveEarlier(_ claimant: Int, _ leaves: Bool) { offer(claimant, runs: leaves ? [] : nil) }

    /// Offers a destination what it is owed of these runs only, and of the present one always; nil offers everything.
    public func offer(_ claimant: Int, runs: Set<RunIdentity>?) {
        let bit: UInt64 = 1 << UInt64(claimant)
        for file in 0..<used {
            let isOffered = unsafe runs == nil || files[file].runPlace == 0 || runs!.contains(files[file].run)
            unsafe files[file].withheld = isOffered ? files[file].withheld & ~bit : files[file].withheld | bit
        }
        unsafe claimants[claimant].isStale = true
    }

    /// Whether a destination was sent all that it is offered, and is owed more.
    public func hasOnlyWithheld(_ claimant: Int) -> Bool {
        guard unsafe claimants[claimant].unsent > 0 else { return false }
        return !(0..<UInt32(used)).contains { file in
            unsafe claim(claimant, file).pointee.unsent > 0 && isOffered(file, to: claimant)
        }
    }

    /// Packets of earlier runs that a destination is owed.
    public func earlierPackets(_ claimant: Int) -> UInt64 {
        (0..<UInt32(used)).reduce(0) { sum, file in
            unsafe files[Int(file)].runPlace == 0 ? sum : sum + owedPackets(claimant, in: file)
        }
    }

    /// All of a file is owed to a destination that was owed nothing of it.
    public func oweAll(_ claimant: Int, _ file: UInt32) {
        oweMany(claimant, file, bits: [], known: 0, packets: unsafe files[Int(file)].packets)
        unsafe files[Int(file)].isDirty = true
    }
}
