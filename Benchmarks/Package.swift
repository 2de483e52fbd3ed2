// swift-tools-version: 6.3
import PackageDescription

/// The same rules as in the parent package.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableExperimentalFeature("Lifetimes"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

/// The libraries under measurement.
let parts: Target.Dependency = .product(name: "SpillwayParts", package: "spillway")

/// Programs that measure one part each and print lines of "name value unit"; tools/bench sets them beside references.
let package = Package(
    name: "spillway-benchmarks",
    dependencies: [.package(name: "spillway", path: "..")],
    targets: [
        .target(name: "BenchSupport", swiftSettings: strict),
        .executableTarget(
            name: "RingBench",
            dependencies: ["BenchSupport", parts], swiftSettings: strict),
        .executableTarget(
            name: "EncodeBench",
            dependencies: ["BenchSupport", parts], swiftSettings: strict),
        .executableTarget(
            name: "ReassemblyBench",
            dependencies: ["BenchSupport", parts], swiftSettings: strict),
    ]
)
