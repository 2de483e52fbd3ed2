internal import CFuse
import Glibc

/// How far the kernel reads ahead of a reader whose pages it caches. Its default of 128 KiB means eight requests where one
/// would do.
enum ReadAhead {
    private static let kibibytes = 1024

    /// Sets it for what is mounted at a path, where that is allowed; it is no loss where it is not.
    static func enlarge(_ target: String) {
        var status = stat()
        guard unsafe stat(target, &status) == 0 else { return }
        let device = UInt64(status.st_dev)
        // The two halves of a device number as glibc lays them out (makedev(3)).
        let major = (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF
        let minor = device & 0xFF | (device >> 12) & ~0xFF
        let file = unsafe open("/sys/class/bdi/\(major):\(minor)/read_ahead_kb", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        defer { close(file) }
        let text = Array("\(kibibytes)".utf8)
        _ = unsafe write(file, text, text.count)
    }
}
