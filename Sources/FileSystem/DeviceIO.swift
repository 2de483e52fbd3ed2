internal import CFuse
import Glibc
import Machine
import Synchronization

/// How requests are taken from /dev/fuse and answered: libfuse leaves that to these two functions.
enum DeviceIO {
    static func install(_ session: OpaquePointer) {
        var io = fuse_custom_io()
        unsafe io.read = { device, buffer, size, data in
            unsafe DeviceIO.system(data).patience.wait(for: device)
            return unsafe read(device, buffer, size)
        }
        unsafe io.writev = { device, pieces, count, data in
            let system = unsafe DeviceIO.system(data)
            if system.passthrough.isInitialised { return unsafe writev(device, pieces, count) }
            return unsafe DeviceIO.answerInit(device, UnsafeBufferPointer(start: pieces, count: Int(count)), system)
        }
        unsafe fuse_session_custom_io(session, &io, fuse_session_fd(session))
    }

    private static func system(_ data: UnsafeMutableRawPointer?) -> LiveFileSystem {
        unsafe Unmanaged<LiveFileSystem>.fromOpaque(data!).takeUnretainedValue()
    }

    /// The first thing that is ever written is the answer to INIT.
    private static func answerInit(_ device: Int32, _ pieces: UnsafeBufferPointer<iovec>, _ system: LiveFileSystem)
        -> Int
    {
        var bytes: [UInt8] = []
        for index in pieces.indices {
            unsafe bytes += UnsafeRawBufferPointer(start: pieces[index].iov_base, count: pieces[index].iov_len)
        }
        unsafe spillway_allow_passthrough(&bytes, bytes.count)
        system.passthrough.begin(on: device)
        return unsafe write(device, bytes, bytes.count)
    }
}

/// For how long a worker that has just given a reader its data keeps looking for the next request before it sleeps.
///
/// A reader that goes through a file asks again within some microseconds. To be woken from sleep for that takes longer than
/// the work itself, above all on virtual machines. One worker at a time does so, and only where there is a second CPU.
final class Patience: Sendable {
    private let lastRead = Atomic<UInt64>(0)
    private let isLooking = Atomic<Bool>(false)
    private let isUseful = sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1

    private static let nanoseconds: UInt64 = 100_000

    /// A reader got its data.
    func noteRead() { if isUseful { lastRead.store(Clock.monotonic(), ordering: .relaxed) } }

    /// Returns when there is a request, or when it is time to sleep.
    func wait(for device: Int32) {
        let last = lastRead.load(ordering: .relaxed)
        guard last != 0, Clock.monotonic() &- last < Self.nanoseconds,
            isLooking.exchange(true, ordering: .acquiring) == false
        else { return }
        defer { isLooking.store(false, ordering: .releasing) }
        var entry = pollfd(fd: device, events: Int16(POLLIN), revents: 0)
        while Clock.monotonic() &- last < Self.nanoseconds {
            if unsafe poll(&entry, 1, 0) != 0 { return }
            // The reader itself may be waiting for this CPU.
            sched_yield()
        }
    }
}
