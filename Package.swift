// swift-tools-version: 6.3
import PackageDescription

/// Every target is held to the same rules; see CONTRIBUTING.md.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableExperimentalFeature("Lifetimes"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "spillway",
    targets: [
        .target(name: "CMachine", path: "CSupport/CMachine"),
        .systemLibrary(name: "CNuma", path: "CSupport/CNuma"),
        .systemLibrary(name: "CPcap", path: "CSupport/CPcap"),
        .target(name: "Machine", dependencies: ["CMachine", "CNuma"], swiftSettings: strict),
        .target(name: "Pcapng", dependencies: ["CMachine", "Machine"], exclude: ["Reading"], swiftSettings: strict),
        .target(
            name: "Egress", dependencies: ["CMachine", "Machine", "Pcapng", "SegmentPool"], swiftSettings: strict),
        .target(name: "SegmentPool", dependencies: ["CMachine", "Machine", "Pcapng"], swiftSettings: strict),
    ]
)
