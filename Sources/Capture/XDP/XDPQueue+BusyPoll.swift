internal import CXDP
import Machine

extension XDPQueue {
    /// Microseconds and packets of one busy poll: those of the kernel's own example (samples/bpf/xdpsock).
    private static var pollTime: Int32 { 20 }
    private static var pollBudget: Int32 { 64 }

    /// Has the kernel fetch packets from the card when `poll` asks for them, instead of whenever it is interrupted.
    func preferBusyPoll() throws(SystemError) {
        var step: UnsafePointer<CChar>?
        let status = unsafe spillway_xdp_busy_poll(descriptor, Self.pollTime, Self.pollBudget, &step)
        if status != 0 {
            throw SystemError("setsockopt", unsafe step.map { unsafe String(cString: $0) } ?? "", code: status)
        }
    }

    /// Has the kernel fetch packets from the card now. It never waits.
    @_noLocks
    public func poll() { spillway_xdp_wake(descriptor) }
}
