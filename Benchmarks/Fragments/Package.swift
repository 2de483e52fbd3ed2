// swift-tools-version: 6.3
import PackageDescription

/// The range library against the standard library and boost::icl; run `tools/bench-fragments`.
///
/// `Sources/Fragments` is a link to the library, so that nothing else of Spillway has to be built.
let package = Package(
    name: "fragments-bench",
    targets: [
        .target(
            name: "Fragments", exclude: ["README.md"],
            swiftSettings: [.swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes")]),
        .executableTarget(
            name: "FragmentsBench", dependencies: ["Fragments"], swiftSettings: [.swiftLanguageMode(.v6)]),
    ]
)
