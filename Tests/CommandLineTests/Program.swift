import TestSupport
import Testing

/// Runs the program in an environment without any SPILLWAY variables but these.
func spillway(
    _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:], directory: String? = nil
) throws -> CommandResult {
    var changes: [String: String?] = environment
    for name in try variableNames() where name.hasPrefix("SPILLWAY_") && changes[name] == nil {
        changes.updateValue(nil, forKey: name)
    }
    return try run(
        builtExecutable("spillway"), arguments, input: input, environment: changes, directory: directory,
        timeLimit: .seconds(120))
}

private func variableNames() throws -> [String] {
    String(decoding: try readFile("/proc/self/environ"), as: UTF8.self).split(separator: "\0").map { variable in
        String(variable.prefix { $0 != "=" })
    }
}

/// Checks how a run of the program ended and what it said about it.
func expect(
    _ result: CommandResult, exits code: Int32, naming words: [String] = [],
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(
        result.status == .exited(code), "\(result.commandLine)\n\(result.errorText)", sourceLocation: sourceLocation)
    for word in words {
        #expect(
            result.errorText.contains(word), "'\(word)' of \(result.commandLine)\n\(result.errorText)",
            sourceLocation: sourceLocation)
    }
}
