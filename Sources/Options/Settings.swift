/// Where a value was written.
public enum Origin: Sendable, Equatable {
    case commandLine
    case environment
    /// A configuration file, by its path.
    case file(String)
}

/// One value as it was written, not yet understood.
struct Setting: Sendable, Equatable {
    let option: RunOption
    let text: String
    let origin: Origin

    /// The option and the value in the spelling of the place where a person would look for them.
    var quotation: String {
        switch origin {
        case .commandLine: "\(option.spelling) \(text)"
        case .environment: "\(option.variable)=\(text)"
        case .file(let path): "\(path): \(option.rawValue): \(text)"
        }
    }
}

/// All values of a run from all layers: for every option the values of the highest layer that names it.
///
/// The command line wins over the environment, the environment over the file. `-i` and `-r` are one choice: a layer
/// with either of them replaces both of the layers below.
public struct Settings: Sendable {
    private var values: [RunOption: [Setting]] = [:]

    /// Puts the layers together.
    ///
    /// - Parameters:
    ///   - commandLine: the values given there; an option without values is not given.
    ///   - environment: all environment variables; those of other names are ignored.
    ///   - file: the configuration file, if there is one.
    public init(
        commandLine: [RunOption: [String]], environment: [String: String], file: ConfigurationFile? = nil
    ) {
        add(commandLine, .commandLine)
        add(environmentValues(environment), .environment)
        if let file { add(file.values, .file(file.path)) }
    }

    private mutating func add(_ layer: [RunOption: [String]], _ origin: Origin) {
        let hasInput = values[.interface] != nil || values[.read] != nil
        for (option, texts) in layer where !texts.isEmpty && values[option] == nil {
            if hasInput, option == .interface || option == .read { continue }
            values[option] = texts.map { Setting(option: option, text: $0, origin: origin) }
        }
    }

    /// The values of an option in the order in which they were written.
    func all(_ option: RunOption) -> [Setting] { values[option] ?? [] }

    /// The value of an option; the last one, if a person repeated it.
    func last(_ option: RunOption) -> Setting? { values[option]?.last }
}
