import Glibc
public import Testing

/// Something a test needs is not here, and `SPILLWAY_REQUIRE_ALL=1` makes that a failure.
public struct MissingRequirement: Error, CustomStringConvertible {
    /// What is missing, as a sentence.
    public let description: String
}

/// True when a missing tool, permission or kernel feature must fail a test instead of skipping it.
public var everythingIsRequired: Bool {
    environmentValue("SPILLWAY_REQUIRE_ALL") == "1"
}

/// The value of an environment variable of this process, nil when it is unset.
public func environmentValue(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
}

/// Goes on when `condition` holds. Otherwise the running test is skipped with `reason`, or fails with it when
/// `SPILLWAY_REQUIRE_ALL=1`. Call it from inside a test.
public func require(
    _ condition: Bool, orSkip reason: String, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    if condition { return }
    if everythingIsRequired { throw MissingRequirement(description: reason) }
    try Test.cancel("\(reason)", sourceLocation: sourceLocation)
}

/// Skips (or fails, see `require`) the running test unless the program `name` is in `PATH`.
///
/// - Returns: the path of the program.
@discardableResult
public func requireTool(_ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
    let path = findTool(name)
    try require(path != nil, orSkip: "the program \(name) is not installed", sourceLocation: sourceLocation)
    return path ?? name
}

/// Skips (or fails, see `require`) the running test unless it runs as root.
public func requireRoot(sourceLocation: SourceLocation = #_sourceLocation) throws {
    try require(geteuid() == 0, orSkip: "this test needs root", sourceLocation: sourceLocation)
}

/// Skips (or fails, see `require`) the running test unless the environment variable `name` is set and not empty.
///
/// - Returns: its value.
@discardableResult
public func requireEnvironment(
    _ name: String, sourceLocation: SourceLocation = #_sourceLocation
) throws -> String {
    let value = environmentValue(name) ?? ""
    try require(
        !value.isEmpty, orSkip: "the environment variable \(name) is not set", sourceLocation: sourceLocation)
    return value
}

/// The path of the program `name` as the shell would find it, nil when there is none. A name with a slash is taken
/// as a path.
public func findTool(_ name: String) -> String? {
    if name.contains("/") { return isExecutable(name) ? name : nil }
    let folders = (environmentValue("PATH") ?? "/usr/bin:/bin").split(separator: ":")
    // Administration tools such as tcpdump and ip stand in folders that are not in every user's PATH.
    for folder in folders.map(String.init) + ["/usr/sbin", "/sbin"] {
        let path = "\(folder)/\(name)"
        if isExecutable(path) { return path }
    }
    return nil
}

private func isExecutable(_ path: String) -> Bool {
    var status = stat()
    guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
    return unsafe access(path, X_OK) == 0
}
