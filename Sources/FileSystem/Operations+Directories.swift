internal import CFuse
import Glibc

/// A directory as it was when it was opened.
private final class OpenDirectory: Sendable {
    let entries: [(name: String, mode: mode_t)]
    init(_ entries: [(name: String, mode: mode_t)]) { self.entries = entries }
}

extension Operations {
    static func fillDirectories(_ table: inout fuse_lowlevel_ops) {
        unsafe table.opendir = { request, number, info in
            unsafe Operations.answer(request) { () throws(Errno) in
                let directory = OpenDirectory(try unsafe Operations.fileSystem(request).list(number))
                let retained = unsafe Unmanaged.passRetained(directory)
                unsafe info!.pointee.fh = UInt64(UInt(bitPattern: retained.toOpaque()))
                if unsafe fuse_reply_open(request, info) == -ENOENT { unsafe retained.release() }
            }
        }
        unsafe table.readdir = { request, _, size, offset, info in
            let directory = unsafe Unmanaged<OpenDirectory>.fromOpaque(
                UnsafeRawPointer(bitPattern: UInt(info!.pointee.fh))!
            ).takeUnretainedValue()
            unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { buffer in
                let used = unsafe Operations.fill(buffer, from: Int(offset), directory, request)
                unsafe fuse_reply_buf(request, buffer.baseAddress, used)
            }
        }
        unsafe table.releasedir = { request, _, info in
            unsafe Unmanaged<OpenDirectory>.fromOpaque(
                UnsafeRawPointer(bitPattern: UInt(info!.pointee.fh))!
            ).release()
            unsafe fuse_reply_err(request, 0)
        }
    }

    /// As many entries as fit, from a number on. Bytes used.
    private static func fill(
        _ buffer: UnsafeMutableBufferPointer<CChar>, from first: Int, _ directory: OpenDirectory,
        _ request: fuse_req_t?
    ) -> Int {
        var used = 0
        var index = max(0, first)
        while index < directory.entries.count {
            let entry = directory.entries[index]
            var attributes = stat()
            attributes.st_mode = entry.mode
            // No number is known before a name is looked up (FUSE_UNKNOWN_INO).
            attributes.st_ino = 0xFFFF_FFFF
            let needed = unsafe fuse_add_direntry(
                request, buffer.baseAddress! + used, buffer.count - used, entry.name, &attributes, off_t(index + 1))
            if needed > buffer.count - used { break }
            used += needed
            index += 1
        }
        return used
    }

    /// Everything that would change something. The source is only read.
    static func fillRefusals(_ table: inout fuse_lowlevel_ops) {
        unsafe table.mknod = { request, _, _, _, _ in unsafe fuse_reply_err(request, EROFS) }
        unsafe table.mkdir = { request, _, _, _ in unsafe fuse_reply_err(request, EROFS) }
        unsafe table.rmdir = { request, _, _ in unsafe fuse_reply_err(request, EROFS) }
        unsafe table.symlink = { request, _, _, _ in unsafe fuse_reply_err(request, EROFS) }
        unsafe table.rename = { request, _, _, _, _, _ in unsafe fuse_reply_err(request, EROFS) }
        unsafe table.link = { request, _, _, _ in unsafe fuse_reply_err(request, EROFS) }
        unsafe table.fallocate = { request, _, _, _, _, _ in unsafe fuse_reply_err(request, EROFS) }
        unsafe table.setxattr = { request, _, _, _, _, _ in unsafe fuse_reply_err(request, EROFS) }
        unsafe table.removexattr = { request, _, _ in unsafe fuse_reply_err(request, EROFS) }
        unsafe table.unlink = { request, parent, text in
            unsafe Operations.answer(request) { () throws(Errno) in
                let (system, name) = unsafe (Operations.fileSystem(request), Operations.name(text))
                guard case .directory(let scope) = system.nodes[parent], let control = ControlName(name) else {
                    throw Errno(EROFS)
                }
                try system.control.remove(control, scope)
                unsafe fuse_reply_err(request, 0)
            }
        }
    }
}
