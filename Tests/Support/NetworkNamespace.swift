import Glibc
public import Testing

/// A fresh network namespace with a veth pair `left` and `right` and nothing else that sends: no IPv6
/// autoconfiguration.
///
/// SAFETY: the two pointers are functions of the C library, which Swift does not import; they never change.
public struct NetworkNamespace {
    /// The name `ip netns` knows it by.
    public let name: String
    private let file: CInt
    private let former: CInt

    /// Runs `ip` in the namespace.
    @discardableResult
    public func ip(_ arguments: String...) throws -> CommandResult {
        try TestSupport.run("ip", ["-n", name] + arguments).checked()
    }

    /// Makes a veth pair whose ends have so many queues each, and are up. One of these names that is there is replaced.
    public func makePair(_ one: String = "left", _ other: String = "right", queues: Int) throws {
        if (try? ip("link", "show", one)) != nil { try ip("link", "del", one) }
        let counts = ["numtxqueues", "\(queues)", "numrxqueues", "\(queues)"]
        let command = ["-n", name, "link", "add", one] + counts + ["type", "veth", "peer", "name", other] + counts
        try TestSupport.run("ip", command).checked()
        for interface in [one, other] { try ip("link", "set", interface, "up") }
    }

    /// Joins two namespaces by a veth pair, each end of which is called `wire` and has an address: 10.77.0.1 here, .2 there.
    public func connect(to peer: NetworkNamespace) throws {
        try ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", peer.name)
        for (one, address) in [(self, "10.77.0.1/24"), (peer, "10.77.0.2/24")] {
            try one.ip("address", "add", address, "dev", "wire")
            try one.ip("link", "set", "wire", "up")
        }
    }

    /// The command line that runs a program in the namespace.
    public func inside(_ tool: String, _ arguments: [String]) -> (tool: String, arguments: [String]) {
        ("ip", ["netns", "exec", name, tool] + arguments)
    }

    /// Runs `body` with the calling thread inside the namespace. What it opens there stays there.
    public func enter<Result: ~Copyable>(_ body: () throws -> Result) throws -> Result {
        try Self.switchThread(to: file)
        defer { try? Self.switchThread(to: former) }
        return try body()
    }

    fileprivate init(name: String) throws {
        self.name = name
        try TestSupport.run("ip", ["netns", "add", name]).checked()
        file = unsafe open("/run/netns/\(name)", O_RDONLY | O_CLOEXEC)
        former = unsafe open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        do {
            guard file >= 0, former >= 0 else { throw FileProblem("cannot open", "/run/netns/\(name)") }
            for scope in ["all", "default"] {
                let path = "/proc/sys/net/ipv6/conf/\(scope)/disable_ipv6"
                let command = inside("sh", ["-c", "test ! -e \(path) || echo 1 > \(path)"])
                try TestSupport.run(command.tool, command.arguments).checked()
            }
            try ip("link", "add", "left", "type", "veth", "peer", "name", "right")
            for interface in ["lo", "left", "right"] { try ip("link", "set", interface, "up") }
        } catch {
            remove()
            throw error
        }
    }

    fileprivate func remove() {
        if file >= 0 { close(file) }
        if former >= 0 { close(former) }
        _ = try? TestSupport.run("ip", ["netns", "del", name])
    }

    private static func switchThread(to file: CInt) throws {
        typealias Function = @convention(c) (CInt, CInt) -> CInt
        // CLONE_NEWNET; neither it nor setns(2) is visible from Swift.
        let call = unsafe unsafeBitCast(dlsym(nil, "setns"), to: Function.self)
        guard call(file, 0x4000_0000) == 0 else {
            throw FileProblem("cannot enter", "a network namespace")
        }
    }
}

/// Runs `body` with a fresh network namespace and removes it afterwards, also when `body` throws. Skips (or
/// fails, see `require`) the running test without root or without veth.
@discardableResult
public func withNetworkNamespace<Result>(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: (NetworkNamespace) throws -> Result
) throws -> Result {
    try requireRoot(sourceLocation: sourceLocation)
    try requireTool("ip", sourceLocation: sourceLocation)
    let name = "spillway-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let namespace: NetworkNamespace
    do {
        namespace = try NetworkNamespace(name: name)
    } catch {
        try require(
            false, orSkip: "no network namespace with veth: \(error)", sourceLocation: sourceLocation)
        throw error
    }
    defer { namespace.remove() }
    return try body(namespace)
}
