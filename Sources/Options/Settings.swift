/// Where a value was written.
public enum Origin: Sendable, Equatable {
    case commandLine
    case environment
    /// A configuration file, by its path.
    case file(String)
}

/// One value as it was written, not yet understood.
struct Setting<Option: CommandOption>: Sendable, Equatable {
    let option: Option
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

/// All values of a command from all layers: for every option the values of the highest layer that names it.
///
/// The command line wins over the environment, the environment over the file.
public struct LayeredSettings<Option: CommandOption>: Sendable {
    private var values: [Option: [Setting<Option>]] = [:]

    /// Puts the layers together.
    ///
    /// - Parameters:
    ///   - commandLine: the values given there; an option without values is not given.
    ///   - environment: all environment variables; those of other names are ignored.
    ///   - file: the configuration file, if there is one.
    public init(
        commandLine: [Option: [String]], environment: [String: String], file: LayerFile<Option>? = nil
    ) {
        add(commandLine, .commandLine)
        add(environmentValues(environment), .environment)
        if let file { add(file.values, .file(file.path)) }
    }

    private mutating func add(_ layer: [Option: [String]], _ origin: Origin) {
        let isChosen = Option.oneChoice.contains { values[$0] != nil }
        for (option, texts) in layer where !texts.isEmpty && values[option] == nil {
            if isChosen, Option.oneChoice.contains(option) { continue }
            values[option] = texts.map { Setting(option: option, text: $0, origin: origin) }
        }
    }

    /// The values of an option in the order in which they were written.
    func all(_ option: Option) -> [Setting<Option>] { values[option] ?? [] }

    /// The value of an option; the last one, if a person repeated it.
    func last(_ option: Option) -> Setting<Option>? { values[option]?.last }
}

/// The values of a run.
public typealias Settings = LayeredSettings<RunOption>
