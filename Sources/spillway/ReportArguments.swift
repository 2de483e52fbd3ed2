import ArgumentParser

/// Where the final figures of a command go, and where more of its options stand.
struct ReportArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Write the final figures as JSON, - is standard output.", valueName: "file"))
    var report: String?

    @Option(
        help: ArgumentHelp(
            "Read options from this YAML file, keyed by their long names. The command line wins over the environment "
                + "(SPILLWAY_REPORT, ...), the environment over the file.", valueName: "file"))
    var config: String?
}
