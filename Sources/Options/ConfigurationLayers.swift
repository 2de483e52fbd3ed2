internal import Configuration
internal import Synchronization

/// The values in a configuration file: YAML, one key per long option.
public struct LayerFile<Option: CommandOption>: Sendable {
    /// The path, for messages.
    public let path: String
    /// What it holds.
    let values: [Option: [String]]

    /// Reads the file's content.
    ///
    /// - Throws: `malformedFile` if it is no YAML mapping, `usage` if a key is no option or has more values than it may.
    public init(path: String, content: [UInt8]) throws(OptionError) {
        self.path = path
        guard !Self.isBlank(content) else {
            values = [:]
            return
        }
        let keys = KeyRecorder()
        let snapshot: YAMLSnapshot
        do {
            snapshot = try YAMLSnapshot(
                data: unsafe content.span.bytes, providerName: path,
                parsingOptions: .init(secretsSpecifier: .dynamic { key, _ in keys.record(key) }))
        } catch {
            throw OptionError("\(path): not a YAML mapping of options: \(oneLine(error))", kind: .malformedFile)
        }
        var values: [Option: [String]] = [:]
        for key in keys.recorded {
            guard let option = Option(rawValue: key) else { throw Self.unknown(key, path) }
            values[option] = try Self.texts(of: option, in: snapshot, path)
        }
        self.values = values
    }

    private static func texts(
        of option: Option, in snapshot: YAMLSnapshot, _ path: String
    ) throws(OptionError) -> [String] {
        let key = AbsoluteConfigKey([option.rawValue])
        if case .string(let text)? = try? snapshot.value(forKey: key, type: .string).value?.content { return [text] }
        if option.isRepeatable,
            case .stringArray(let texts)? = try? snapshot.value(forKey: key, type: .stringArray).value?.content
        {
            return texts
        }
        throw OptionError("\(path): \(option.rawValue): a list; this option takes one value")
    }

    private static func unknown(_ key: String, _ path: String) -> OptionError {
        let keys = Option.allCases.map(\.rawValue).joined(separator: ", ")
        return OptionError("\(path): \(key): no such option; the options of a configuration file are \(keys)")
    }

    /// Whether there is nothing but blank lines and comments, which is a valid file without values.
    private static func isBlank(_ content: [UInt8]) -> Bool {
        content.split(separator: UInt8(ascii: "\n")).allSatisfy { line in
            let text = line.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }
            return text.isEmpty || text.first == UInt8(ascii: "#")
        }
    }
}

/// The configuration file of a run.
public typealias ConfigurationFile = LayerFile<RunOption>

/// Collects the keys of a file while it is parsed: the library looks values up by key and offers no list of keys, but it
/// asks of each whether it is a secret.
private final class KeyRecorder: Sendable {
    private let keys = Mutex<[String]>([])

    func record(_ key: String) -> Bool {
        keys.withLock { $0.append(key) }
        return false
    }

    /// In alphabetical order, so that of several wrong keys always the same is named.
    var recorded: [String] { keys.withLock { $0.sorted() } }
}

/// The values in the environment. A variable that is set to nothing counts as unset.
func environmentValues<Option: CommandOption>(_ environment: [String: String]) -> [Option: [String]] {
    let provider = EnvironmentVariablesProvider(environmentVariables: environment)
    var values: [Option: [String]] = [:]
    for option in Option.allCases {
        let key = AbsoluteConfigKey(["spillway", option.rawValue])
        guard case .string(let text)? = try? provider.value(forKey: key, type: .string).value?.content else { continue }
        let texts = option.isRepeatable ? text.split(whereSeparator: \.isWhitespace).map(String.init) : [text]
        values[option] = texts.filter { !$0.isEmpty }
    }
    return values
}

/// An error of the YAML library, which draws its position over several lines, in one.
private func oneLine(_ error: any Error) -> String {
    "\(error)".split(whereSeparator: \.isNewline).map { $0.drop(while: \.isWhitespace) }.joined(separator: " ")
}
