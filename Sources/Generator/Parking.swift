internal import CBPF
internal import Glibc
internal import Machine
internal import Synchronization

/// Keeps an XDP program in the kernel's dispatcher (kernel/bpf/dispatcher.c) as long as the value lives.
///
/// Each call of BPF_PROG_TEST_RUN that repeats puts its program into the dispatcher and takes it out again, and the kernel
/// waits each time until no processor uses the old one (synchronize_rcu, tens of milliseconds; seen on 6.18). Frames would
/// come in bursts with pauses between them. A program that is attached somewhere is in the dispatcher already, and a call
/// takes microseconds. So the program is attached where it never runs: to the loopback interface of a network namespace
/// of our own.
struct Parking: ~Copyable {
    private let attachment: Int32
    private let space: Int32

    /// Parks the program. It takes CAP_SYS_ADMIN; without it nothing is parked, and frames come in bursts.
    init(program: Int32) {
        let place = Place()
        // A namespace is a thread's; this one ends at once, and leaves the others where they are.
        let thread = try? PinnedThread(name: "park", cpus: nil) {
            var space: Int32 = -1
            let attachment = unsafe spillway_bpf_park(program, &space)
            place.descriptors.withLock { $0 = (attachment, space) }
        }
        if let thread { thread.join() }
        (attachment, space) = place.descriptors.withLock { $0 }
    }

    deinit {
        if attachment >= 0 { close(attachment) }
        if space >= 0 { close(space) }
    }

    private final class Place: Sendable {
        let descriptors = Mutex<(attachment: Int32, space: Int32)>((-1, -1))
    }
}
