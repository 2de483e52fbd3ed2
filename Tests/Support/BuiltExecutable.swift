import Glibc

/// The path of an executable of this package: it lies beside the test bundle, since both come from the same build.
///
/// `SPILLWAY_BINARY` names another `spillway`, for example the release build.
public func builtExecutable(_ name: String) throws -> String {
    if name == "spillway", let chosen = environmentValue("SPILLWAY_BINARY"), !chosen.isEmpty {
        guard let path = findTool(chosen) else { throw CommandProblem("SPILLWAY_BINARY: \(chosen) is no program") }
        return path
    }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe readlink("/proc/self/exe", $0.baseAddress!, $0.count) }
    let bundle = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    let folder = bundle.lastIndex(of: "/").map { bundle[..<$0] } ?? ""
    guard let path = findTool("\(folder)/\(name)") else { throw CommandProblem("\(name) is not built in \(folder)") }
    return path
}
