import ArgumentParser
import Options

// The options of `spillway inspect`.

struct InspectArguments: ParsableArguments {
    @Flag(help: "Check every byte; ends with 1 if something is wrong.")
    var check = false

    @Flag(help: "Make damaged and unsealed files whole, of what is good in them; not while a relay has the cache.")
    var repair = false

    @Option(
        help: ArgumentHelp("Write all packets into one pcapng file, in the order of their times.", valueName: "file"))
    var export: String?
}

struct InspectOutputArguments: ParsableArguments {
    @Flag(help: "Show it as JSON.")
    var json = false
}

extension Inspect {
    /// What the command line gives for each option.
    var given: [InspectOption: [String]] {
        let values: [InspectOption: String?] = [
            .check: task.check ? "true" : nil, .repair: task.repair ? "true" : nil, .export: task.export,
            .json: output.json ? "true" : nil, .report: result.report,
        ]
        return values.compactMapValues { $0.map { [$0] } }
    }
}
