import Glibc
import TestSupport
import Testing

/// Twice as much comes in as the collectors take, and everything breaks now and then. `SPILLWAY_SOAK_SECONDS=60` for the long
/// form, `SPILLWAY_SOAK_SEED` for the same decisions once more.
@Suite("A relay with a cache, and everything that can break", .serialized, .timeLimit(.minutes(10)))
struct SpillSoakTests {
    private static let seconds = environmentValue("SPILLWAY_SOAK_SECONDS").flatMap { Int($0) } ?? 8
    private static let seed = environmentValue("SPILLWAY_SOAK_SEED").flatMap { UInt64($0) } ?? .random(in: 1 ... .max)

    @Test("Kills, stops, resets, a full disk: each packet arrives once, was counted as lost, or in memory at a kill -9")
    func soak() throws {
        try requireRoot()
        var random = SeededGenerator(Self.seed)
        try withTemporaryDirectory { folder in
            try run("mkdir", ["\(folder)/disk"]).checked()
            try run("mount", ["-t", "tmpfs", "-o", "size=96M", "none", "\(folder)/disk"]).checked()
            defer { _ = try? run("umount", ["-l", "\(folder)/disk"]) }
            try withNetworkNamespace { space in
                let soak = try SpillSoak(space, folder, Self.seed)
                defer { soak.end() }
                let end = ContinuousClock.now + .seconds(Self.seconds)
                while ContinuousClock.now < end {
                    usleep(useconds_t.random(in: 20_000..<300_000, using: &random))
                    try soak.happens(SpillSoak.Event.allCases.randomElement(using: &random)!, using: &random)
                }
                try soak.deliverTheRest()
                try soak.check()
            }
        }
    }
}

/// Numbers that follow from a seed (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
        return word ^ word >> 31
    }
}
