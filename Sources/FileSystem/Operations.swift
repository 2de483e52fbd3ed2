internal import CFuse
import Glibc

/// The table of functions that libfuse calls (fuse_lowlevel.h). Each finds the file system behind its request, does its work
/// there, and answers. What is not in the table is answered by libfuse with ENOSYS.
enum Operations {
    static func table() -> fuse_lowlevel_ops {
        var table = fuse_lowlevel_ops()
        fillNames(&table)
        fillFiles(&table)
        fillDirectories(&table)
        fillRefusals(&table)
        unsafe table.`init` = { _, connection in
            guard let connection = unsafe connection else { return }
            // When pages are stale is decided at each open. Asking for attributes at each read would only be slow.
            unsafe connection.pointee.want &= ~UInt32(FUSE_CAP_AUTO_INVAL_DATA)
            unsafe connection.pointee.max_readahead = max(connection.pointee.max_readahead, 1 << 20)
            unsafe connection.pointee.max_background = 64
        }
        return table
    }

    /// The file system behind a request. It lives as long as the session.
    static func fileSystem(_ request: fuse_req_t?) -> LiveFileSystem {
        unsafe Unmanaged<LiveFileSystem>.fromOpaque(fuse_req_userdata(request)!).takeUnretainedValue()
    }

    /// The thread that asks.
    static func thread(_ request: fuse_req_t?) -> Int32 { unsafe fuse_req_ctx(request).pointee.pid }

    /// Runs a body and answers with the error it throws.
    static func answer(_ request: fuse_req_t?, _ body: () throws(Errno) -> Void) {
        do throws(Errno) { try body() } catch { unsafe fuse_reply_err(request, error.code) }
    }

    static func name(_ text: UnsafePointer<CChar>?) -> String { unsafe text.map { unsafe String(cString: $0) } ?? "" }

    private static func fillNames(_ table: inout fuse_lowlevel_ops) {
        unsafe table.lookup = { request, parent, text in
            unsafe Operations.answer(request) { () throws(Errno) in
                let (system, name) = unsafe (Operations.fileSystem(request), Operations.name(text))
                let kind = try system.resolve(name, in: parent)
                var entry = try unsafe Operations.entry(system, name, parent, kind, request)
                unsafe fuse_reply_entry(request, &entry)
            }
        }
        unsafe table.forget = { request, number, count in
            unsafe Operations.fileSystem(request).nodes.forget(number, count)
            unsafe fuse_reply_none(request)
        }
        unsafe table.forget_multi = { request, count, entries in
            let system = unsafe Operations.fileSystem(request)
            for index in 0..<count {
                unsafe system.nodes.forget(entries![index].ino, entries![index].nlookup)
            }
            unsafe fuse_reply_none(request)
        }
        unsafe table.getattr = { request, number, _ in
            unsafe Operations.answer(request) { () throws(Errno) in
                let system = unsafe Operations.fileSystem(request)
                guard let kind = system.nodes[number] else { throw Errno(ENOENT) }
                var attributes = try unsafe system.attributes(number, kind, thread: Operations.thread(request))
                unsafe fuse_reply_attr(request, &attributes, kind.attributeSeconds)
            }
        }
        unsafe table.setattr = { request, number, wanted, toSet, _ in
            unsafe Operations.answer(request) { () throws(Errno) in
                let system = unsafe Operations.fileSystem(request)
                guard let kind = system.nodes[number], case .control(let name, let scope) = kind, name.isWritable,
                    toSet & ~(FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_CTIME | 0x7_FF80) == 0
                else { throw Errno(EROFS) }
                if toSet & FUSE_SET_ATTR_SIZE != 0 {
                    try unsafe system.control.truncate(name, scope, to: Int(wanted!.pointee.st_size))
                }
                var attributes = try system.attributes(number, kind)
                unsafe fuse_reply_attr(request, &attributes, 0)
            }
        }
        unsafe table.statfs = { request, _ in
            unsafe Operations.answer(request) { () throws(Errno) in
                var result = statvfs()
                guard unsafe statvfs(Operations.fileSystem(request).source.path, &result) == 0 else {
                    throw Errno(errno)
                }
                (result.f_bfree, result.f_bavail, result.f_ffree, result.f_favail) = (0, 0, 0, 0)
                unsafe fuse_reply_statfs(request, &result)
            }
        }
    }

    /// What a lookup answers with. The kernel asks again each time, since names come and go.
    private static func entry(
        _ system: LiveFileSystem, _ name: String, _ parent: UInt64, _ kind: NodeKind, _ request: fuse_req_t?
    ) throws(Errno) -> fuse_entry_param {
        var entry = fuse_entry_param()
        let number = system.nodes.lookUp(name, in: parent, kind) { system.isOutdated($0, kind) }
        do throws(Errno) {
            entry.attr = try unsafe system.attributes(number, kind, thread: Operations.thread(request))
        } catch {
            system.nodes.forget(number, 1)
            throw error
        }
        entry.ino = number
        entry.generation = 1
        entry.attr_timeout = kind.attributeSeconds
        return entry
    }

    private static func fillFiles(_ table: inout fuse_lowlevel_ops) {
        unsafe table.open = { request, number, info in
            unsafe Operations.answer(request) { () throws(Errno) in
                let system = unsafe Operations.fileSystem(request)
                let opened = try unsafe system.open(
                    number, flags: info!.pointee.flags, thread: Operations.thread(request))
                unsafe Operations.reply(opened, info!, of: number, request, system) {
                    if let backing = opened.backing {
                        return unsafe spillway_reply_passthrough(request, info!.pointee.fh, backing)
                    }
                    return unsafe fuse_reply_open(request, info)
                }
            }
        }
        unsafe table.create = { request, parent, text, _, info in
            unsafe Operations.answer(request) { () throws(Errno) in
                let (system, name) = unsafe (Operations.fileSystem(request), Operations.name(text))
                let kind = try system.create(name, in: parent)
                var entry = try unsafe Operations.entry(system, name, parent, kind, request)
                let opened = try unsafe system.open(
                    entry.ino, flags: info!.pointee.flags, thread: Operations.thread(request))
                let number = entry.ino
                unsafe Operations.reply(opened, info!, of: number, request, system) {
                    unsafe fuse_reply_create(request, &entry, info)
                }
            }
        }
        unsafe table.read = { request, _, size, offset, info in
            guard let request = unsafe request, let info = unsafe info else { return }
            let reader = unsafe Unmanaged<Reader>.fromOpaque(
                UnsafeRawPointer(bitPattern: UInt(info.pointee.fh))!
            ).takeUnretainedValue()
            // The flags are those of this moment: O_NONBLOCK may have been set by fcntl(2) after the open.
            let isNonBlocking = unsafe info.pointee.flags & O_NONBLOCK != 0
            let read = unsafe HeldRead(request, size: size, offset: UInt64(max(0, offset)))
            // With its answer the request is gone.
            let patience = unsafe Operations.fileSystem(request).patience
            reader.stream.read(read, by: reader, isNonBlocking: isNonBlocking)
            patience.noteRead()
        }
        unsafe table.write = { request, number, bytes, size, offset, _ in
            unsafe Operations.answer(request) { () throws(Errno) in
                let system = unsafe Operations.fileSystem(request)
                guard case .control(let name, let scope) = system.nodes[number], name.isWritable else {
                    throw Errno(EROFS)
                }
                let content = unsafe [UInt8](UnsafeRawBufferPointer(start: bytes, count: size))
                try system.control.write(name, scope, content, at: Int(offset))
                unsafe fuse_reply_write(request, size)
            }
        }
        unsafe table.flush = { request, _, _ in unsafe fuse_reply_err(request, 0) }
        unsafe table.fsync = { request, _, _, _ in unsafe fuse_reply_err(request, 0) }
        unsafe table.release = { request, number, info in
            let reader = unsafe Unmanaged<Reader>.fromOpaque(
                UnsafeRawPointer(bitPattern: UInt(info!.pointee.fh))!
            ).takeRetainedValue()
            unsafe Operations.fileSystem(request).release(reader, of: number)
            unsafe fuse_reply_err(request, 0)
        }
        // Where data are and where holes cannot be told; copying programs then simply read.
        unsafe table.lseek = { request, _, _, _, _ in unsafe fuse_reply_err(request, EINVAL) }
        unsafe table.poll = { request, _, info, handle in
            let reader = unsafe Unmanaged<Reader>.fromOpaque(
                UnsafeRawPointer(bitPattern: UInt(info!.pointee.fh))!
            ).takeUnretainedValue()
            let held = unsafe handle.map { unsafe PollHandle($0) }
            let isReadable = reader.stream.poll(held, by: reader)
            unsafe fuse_reply_poll(request, isReadable ? UInt32(POLLIN | POLLRDNORM) : 0)
        }
    }

    /// Hands an open file to the kernel, or takes it back if the opener is gone.
    private static func reply(
        _ opened: OpenedFile, _ info: UnsafeMutablePointer<fuse_file_info>, of number: UInt64, _ request: fuse_req_t?,
        _ system: LiveFileSystem, _ send: () -> Int32
    ) {
        let retained = unsafe Unmanaged.passRetained(opened.reader)
        unsafe info.pointee.fh = UInt64(UInt(bitPattern: retained.toOpaque()))
        unsafe info.pointee.direct_io = opened.isDirect ? 1 : 0
        unsafe info.pointee.keep_cache = opened.keepsCache ? 1 : 0
        if send() == -ENOENT {
            unsafe retained.release()
            system.release(opened.reader, of: number)
        }
    }
}

extension NodeKind {
    /// For how many seconds the kernel may believe attributes.
    var attributeSeconds: Double { 0 }
}
