// swift-tools-version: 6.3
import PackageDescription

/// The same rules as in the parent package. A fuzzer has no `main`: libFuzzer brings its own.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableExperimentalFeature("Lifetimes"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
    .unsafeFlags(["-parse-as-library"]),
]

/// A fuzzer of this name, over a library product of the parent package.
func fuzzer(_ name: String, _ product: String) -> Target {
    .executableTarget(
        name: name, dependencies: [.product(name: product, package: "spillway")], swiftSettings: strict)
}

/// One program for each reader of foreign bytes; `tools/fuzz` builds and runs them.
let package = Package(
    name: "spillway-fuzz",
    dependencies: [.package(name: "spillway", path: "..")],
    targets: [
        fuzzer("FuzzCacheFile", "SpillwayParts"),
        fuzzer("FuzzCaptureFile", "SpillwayParts"),
        fuzzer("FuzzControlBlocks", "SpillwayParts"),
        fuzzer("FuzzFragments", "Fragments"),
        fuzzer("FuzzHeaders", "SpillwayParts"),
        fuzzer("FuzzMessages", "SpillwayService"),
        fuzzer("FuzzMount", "SpillwayParts"),
        fuzzer("FuzzOptions", "SpillwayParts"),
        fuzzer("FuzzReassembly", "SpillwayParts"),
        fuzzer("FuzzRequests", "SpillwayService"),
        fuzzer("FuzzSealed", "SpillwayService"),
    ]
)
