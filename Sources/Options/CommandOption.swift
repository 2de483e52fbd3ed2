/// The options of one command that have a value, by their long names. The same name is a key of the configuration file,
/// and, in capitals behind `SPILLWAY_`, an environment variable.
public protocol CommandOption: RawRepresentable<String>, CaseIterable, Hashable, Sendable {
    /// Whether it may be given several times; a list in the configuration file, separated by blanks in the environment.
    var isRepeatable: Bool { get }

    /// As people know it on the command line: options of the field by their letter.
    var spelling: String { get }

    /// Options that are one choice: a layer with any of them replaces all of them of the layers below.
    static var oneChoice: Set<Self> { get }
}

extension CommandOption {
    /// No option is.
    public var isRepeatable: Bool { false }

    /// No options are.
    public static var oneChoice: Set<Self> { [] }

    /// The environment variable.
    public var variable: String { Self.variable(rawValue) }

    /// The environment variable of any long option.
    public static func variable(_ longName: String) -> String {
        "SPILLWAY_" + longName.uppercased().map { $0 == "-" ? "_" : $0 }
    }
}
