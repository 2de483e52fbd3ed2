/// The version of the program, as in CHANGELOG.md.
let spillwayVersion = "0.1.0"
