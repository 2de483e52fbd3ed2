import Glibc
import Machine

/// Takes a file out of the page cache; false where the file system has no disk behind it, or something holds its pages.
///
/// A page stays while a socket's buffer has it. Buffers that were read empty on another processor than the one that
/// filled them wait, for as long as that processor is quiet, until it next receives something (`skb_defer_free_flush`
/// in the kernel's net/core/dev.c); so every processor is made to receive something.
public func evictFromPageCache(_ descriptor: Int32, residentPages: () throws -> Int) rethrows -> Bool {
    for _ in 0..<1000 {
        _ = fsync(descriptor)
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        if try residentPages() == 0 { return true }
        receiveOnEveryProcessor()
        usleep(10_000)
    }
    return false
}

/// Sends a datagram over loopback on each processor that this thread may use; the one that sends is the one that
/// receives.
public func receiveOnEveryProcessor() {
    let socket = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    guard socket >= 0 else { return }
    defer { close(socket) }
    var address = loopbackAddress(0)
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    var length = size
    let bound = unsafe withUnsafeMutablePointer(to: &address) { address in
        unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
            unsafe bind(socket, name, size) == 0 && getsockname(socket, name, &length) == 0
                && connect(socket, name, size) == 0
        }
    }
    guard bound else { return }

    let allowed = CPUSet.available()
    defer { try? allowed.pinCurrentThread() }
    for processor in allowed.members where (try? CPUSet([processor]).pinCurrentThread()) != nil {
        var byte: UInt8 = 0
        _ = unsafe send(socket, &byte, 1, 0)
        _ = unsafe recv(socket, &byte, 1, Int32(MSG_DONTWAIT))
    }
}
