internal import Glibc

/// What the kernel says about this process's memory (proc(5)).
enum ProcessMemory {
    /// Peak resident bytes, huge pages included.
    static func peak() -> UInt64 {
        guard let file = unsafe fopen("/proc/self/status", "re") else { return 0 }
        defer { unsafe fclose(file) }
        var bytes = [CChar](repeating: 0, count: 8192)
        let count = unsafe fread(&bytes, 1, bytes.count - 1, file)
        let text = String(decoding: bytes.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return ["VmHWM:", "HugetlbPages:"].reduce(0) { total, name in
            guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else { return total }
            let digits = line.drop { !$0.isNumber }.prefix { $0.isNumber }
            return total + (UInt64(digits) ?? 0) * 1024
        }
    }
}
