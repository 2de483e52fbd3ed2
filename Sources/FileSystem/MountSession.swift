internal import CFuse
import Glibc
import Machine

/// A directory of captures, mounted: `spillway mount`.
public struct MountSession {
    private let source: String
    private let target: String
    private let options: MountOptions

    /// Prepares a mount.
    public init(source: String, target: String, options: MountOptions) {
        self.source = source
        self.target = target
        self.options = options
    }

    /// Mounts, and serves until the directory is unmounted or the process is told to end (SIGTERM, SIGINT, SIGHUP).
    ///
    /// - Parameters:
    ///   - isForeground: stays a child of whoever started it; otherwise the caller's process ends as soon as the mount is there.
    ///   - log: takes lines for people, while standard error is still there.
    public func run(isForeground: Bool, log: @escaping @Sendable (String) -> Void) throws(MountError) {
        let point = try MountPoint(source: source, target: target, log: log)
        let logs: @Sendable (String) -> Void = isForeground ? log : Self.syslog
        let system: LiveFileSystem
        do throws(SystemError) {
            let tree = try SourceTree(point.source)
            system = try LiveFileSystem(tree, options.stream, log: logs)
        } catch {
            throw MountError(error.code == EACCES ? .notPermitted : .noInput, error.description)
        }
        warnOfTimeouts(logs)
        spillway_ignore_lease_breaks()
        try unsafe withSession(system, point) { session throws(MountError) in
            // Threads do not survive a fork, so all of them come after it.
            if !isForeground, fuse_daemonize(0) != 0 {
                throw MountError(.kernel, "cannot go into the background: \(MountPoint.reason)")
            }
            try unsafe serve(session, system, point)
        }
    }

    @Sendable private static func syslog(_ line: String) { unsafe spillway_syslog("spillway: \(line)") }

    private func withSession(
        _ system: LiveFileSystem, _ point: MountPoint, _ body: (OpaquePointer) throws(MountError) -> Void
    ) throws(MountError) {
        var words = ["spillway", "-o", "fsname=\(Self.escaped(point.source)),subtype=spillway"]
        for option in options.fuse { words += ["-o", option] }
        if options.isShared { words += ["-o", "default_permissions"] }
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
        defer { for index in unsafe pointers.indices { unsafe free(pointers[index]) } }
        let session = unsafe pointers.withUnsafeMutableBufferPointer { buffer -> OpaquePointer? in
            var arguments = unsafe fuse_args(argc: Int32(buffer.count), argv: buffer.baseAddress, allocated: 0)
            var table = Operations.table()
            return unsafe fuse_session_new(
                &arguments, &table, MemoryLayout<fuse_lowlevel_ops>.size, Unmanaged.passUnretained(system).toOpaque())
        }
        guard let session = unsafe session else { throw MountError(.usage, "\(target): libfuse refuses the options") }
        defer { unsafe fuse_session_destroy(session) }
        guard unsafe fuse_session_mount(session, point.target) == 0 else {
            throw MountError(
                geteuid() == 0 ? .kernel : .notPermitted,
                "\(target): cannot mount; /dev/fuse must be there and open to you, and fusermount3 installed")
        }
        defer { unsafe fuse_session_unmount(session) }
        try unsafe body(session)
    }

    /// A comma would begin another option.
    private static func escaped(_ path: String) -> String {
        path.map { $0 == "," || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined()
    }

    private func serve(
        _ session: OpaquePointer, _ system: LiveFileSystem, _ point: MountPoint
    ) throws(MountError) {
        var end = EndSignals()
        unsafe DeviceIO.install(session)
        let crew = unsafe Crew(session)
        do throws(SystemError) {
            try crew.start(system.services)
        } catch {
            throw MountError(.kernel, error.description)
        }
        ReadAhead.enlarge(point.target)
        let isToldToEnd = end.wait(orUntil: crew.ended)
        system.shutDown()
        // The name goes at once; what is still open is served until it is closed, for a moment.
        if isToldToEnd { MountPoint.detach(point.target) }
        // Closing the device, which the end of the process does, ends the rest.
        if !crew.finish(system.services) { _exit(0) }
    }

    /// A kernel that gives requests up after a time would end the whole mount when a reader waits for long.
    private func warnOfTimeouts(_ log: (String) -> Void) {
        for name in ["default_request_timeout", "max_request_timeout"] {
            let file = unsafe open("/proc/sys/fs/fuse/\(name)", O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { continue }
            defer { close(file) }
            var byte: UInt8 = 0x30
            if unsafe read(file, &byte, 1) == 1, byte != 0x30 {
                log("fs.fuse.\(name) is set: a reader that waits for longer than that ends the mount; set it to 0")
            }
        }
    }
}
