import Glibc
import Synchronization
import Machine
import TestSupport
import Testing

extension NetworkNamespace {
    /// A relay that captures inside through AF_XDP, once the packets of all its queues arrive. It has more frames than most
    /// tests send packets, so that a busy machine loses none of them.
    func xdpRelay(_ arguments: [String], queues: Int = 1) throws -> RunningRelay {
        let memory = arguments.contains("--memory") ? [] : ["--memory", "96M"]
        let running = try RunningRelay(arguments + memory, namespace: self)
        try running.waitFor(" arrive\n", times: queues)
        return running
    }

    /// The XDP program of an interface, and the maps it uses, by the kernel's ids; nil if there is none.
    func xdpProgram(_ interface: String) throws -> XDPPresence? {
        let text = try ip("-j", "-d", "link", "show", interface).output
        guard case .array(let links) = try JSON(text), let program = links.first?["xdp"]?["prog"],
            let identifier = program["id"]?.count
        else { return nil }
        let shown = try run("bpftool", ["-j", "prog", "show", "id", "\(identifier)"]).checked().output
        let maps: [UInt64] =
            if case .array(let maps) = try JSON(shown)["map_ids"] { maps.compactMap(\.count) } else { [] }
        return XDPPresence(program: identifier, maps: maps)
    }
}

/// What a capture leaves in the kernel while it runs.
struct XDPPresence {
    let program: UInt64
    let maps: [UInt64]

    /// Waits until the kernel has let go of all of it, which it does a moment after the last user.
    func expectGone() throws {
        try waitUntil("the program and its maps go") {
            try run("bpftool", ["prog", "show", "id", "\(program)"]).status != .exited(0)
                && maps.allSatisfy { try run("bpftool", ["map", "show", "id", "\($0)"]).status != .exited(0) }
        }
    }
}

/// Sends numbered frames, one after the other, until told to stop.
final class SteadySender: Sendable {
    private let isOver = Atomic(false)
    private let sent = Atomic(0)
    private let hasEnded = Atomic(false)

    init(_ space: NetworkNamespace, from interface: String = "left") throws {
        let sender = try space.enter { try FrameSender(interface) }
        _ = try PinnedThread(name: "sender", cpus: nil) { [self] in
            while !isOver.load(ordering: .acquiring) {
                let number = sent.load(ordering: .relaxed)
                guard (try? sender.send(liveFrame(number))) != nil else { break }
                sent.store(number + 1, ordering: .releasing)
            }
            hasEnded.store(true, ordering: .releasing)
        }
    }

    /// Frames sent so far.
    var count: Int { sent.load(ordering: .acquiring) }

    /// Stops and returns how many it sent.
    func stop() -> Int {
        isOver.store(true, ordering: .releasing)
        while !hasEnded.load(ordering: .acquiring) { usleep(1000) }
        return count
    }
}

extension Reader {
    /// Waits until the first connection has brought this many packets.
    func waitFor(packets count: Int) throws {
        try waitUntil("\(count) packets come out") {
            try streams.first.map { try Stream($0).packets.count } ?? 0 >= count
        }
    }
}
