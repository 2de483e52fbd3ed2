import CAllocationCounter
import FileSystem
import Glibc

/// Shares the packets of `DIRECTORY/a` out among three members, as a cluster of the mount does, and prints what the thread
/// allocated up to the 20,000th packet and up to the last one: `share BEFORE AFTER`, then `packets N`.
enum Sharing {
    static func run(_ directory: String) -> Never {
        Thread {
            guard let reader = RangeReader(directory: directory, from: "a", to: "a") else { exit(66) }
            var (packets, before, after) = (0, 0, 0)
            let outcome = unsafe reader.share(among: 3) { _, member in
                packets += 1
                if packets == 20_000 { before = unsafe spillway_allocations_of("probe") }
                if packets % 1000 == 0 { after = unsafe spillway_allocations_of("probe") }
            }
            guard outcome == 0 else { exit(65) }
            print("share", before, after)
            print("packets", packets)
            fflush(nil)
            exit(0)
        }.start()
        while true { pause() }
    }
}
