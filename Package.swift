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

/// Files in a module's folder that are no sources.
let documents = ["Fragments": ["README.md"]]

/// A module of Sources/. A module imports only what stands above it here.
func module(_ name: String, _ dependencies: Target.Dependency...) -> Target {
    .target(name: name, dependencies: dependencies, exclude: documents[name] ?? [], swiftSettings: strict)
}

/// The tests of one module.
func tests(_ name: String, _ dependencies: Target.Dependency...) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"], swiftSettings: strict)
}

let package = Package(
    name: "spillway",
    products: [
        .executable(name: "spillway", targets: ["spillway"]),
        .library(name: "Fragments", targets: ["Fragments"]),
        .library(name: "Distribution", targets: ["Distribution"]),
        // For the packages Benchmarks and Fuzz.
        .library(
            name: "SpillwayParts",
            targets: [
                "Machine", "Pcapng", "Capture", "Reassembly", "Transfer", "SegmentPool", "SpillCache", "FileSystem",
                "Options",
            ]),
        // For the fuzzers of what builds with swift-crypto.
        .library(name: "SpillwayService", targets: ["Distribution", "FileService", "Sealing"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(
            url: "https://github.com/apple/swift-configuration", from: "1.4.0",
            traits: [.trait(name: "YAML")]),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
    ],
    targets: [
        // What Swift cannot say, one target per library.
        .target(name: "CMachine", path: "CSupport/CMachine"),
        .target(name: "CSending", path: "CSupport/CSending"),
        .target(name: "CLLHTTP", path: "CSupport/CLLHTTP", cSettings: [.headerSearchPath(".")]),
        .target(name: "CFileService", path: "CSupport/CFileService"),
        .target(name: "CHashing", path: "CSupport/CHashing"),
        .target(name: "CDistribution", path: "CSupport/CDistribution"),
        .systemLibrary(name: "CNuma", path: "CSupport/CNuma"),
        .systemLibrary(name: "CPcap", path: "CSupport/CPcap"),
        .target(name: "CXDP", path: "CSupport/CXDP", linkerSettings: [.linkedLibrary("bpf")]),
        .systemLibrary(
            name: "CBPF", path: "CSupport/CBPF", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev", "libelf-dev"])]),
        .systemLibrary(
            name: "CFuse", path: "CSupport/CFuse", pkgConfig: "fuse3", providers: [.apt(["libfuse3-dev"])]),

        // Compiles bpf/*.bpf.c.
        .plugin(name: "BPFObjects", capability: .buildTool()),

        // The modules, in one direction.
        module("Fragments"),
        module("Machine", "CMachine", "CNuma"),
        module("Pcapng", "CMachine", "Machine"),
        .target(
            name: "Capture", dependencies: ["CMachine", "CPcap", "CXDP", "Machine", "Pcapng"], swiftSettings: strict,
            plugins: ["BPFObjects"]),
        .target(
            name: "Generator", dependencies: ["CBPF", "Machine"], swiftSettings: strict, plugins: ["BPFObjects"]),
        module("Reassembly", "CMachine", "Fragments", "Machine", "Pcapng"),
        module("Transfer", "CMachine", "Machine", "Pcapng"),
        module("Tokens", "Machine", "Pcapng", "Transfer", .product(name: "Crypto", package: "swift-crypto")),
        module("SegmentPool", "CMachine", "Machine", "Pcapng"),
        module("SpillCache", "CMachine", "Fragments", "Machine", "Pcapng"),
        module("Sending", "CMachine", "CSending", "Machine"),
        module("Admission"),
        module(
            "Egress", "Admission", "CMachine", "Machine", "Pcapng", "Capture", "Transfer", "SegmentPool", "SpillCache",
            "Sending"),
        module("Telemetry", "CMachine", "Machine"),
        module("Sealing", "Machine", .product(name: "Crypto", package: "swift-crypto")),
        module(
            "FileService", "CMachine", "CSending", "CLLHTTP", "CFileService", "Fragments", "Machine", "Pcapng",
            "Capture", "SpillCache", "Sending", "Telemetry", "Sealing",
            .product(name: "Crypto", package: "swift-crypto")),
        module(
            "Distribution", "CMachine", "CSending", "CHashing", "CDistribution", "Fragments", "Machine", "Sending",
            "Telemetry", "Tokens"),
        module(
            "Relay", "Admission", "CMachine", "Machine", "Pcapng", "Capture", "Reassembly", "Transfer", "Tokens",
            "SegmentPool",
            "SpillCache", "Egress", "Telemetry", "FileService"),
        module(
            "Collector", "CMachine", "Fragments", "Machine", "Pcapng", "Transfer", "Tokens", "SpillCache", "Telemetry"),
        module(
            "Replay", "CMachine", "CXDP", "Capture", "Fragments", "Machine", "Pcapng", "Sending", "SpillCache",
            "Telemetry", "Tokens", "Transfer"),
        module("FileSystem", "CFuse", "CMachine", "Machine", "Pcapng", "SpillCache"),
        module("Options", .product(name: "Configuration", package: "swift-configuration")),
        .executableTarget(
            name: "spillway",
            dependencies: [
                "Collector", "Distribution", "FileService", "FileSystem", "Generator", "Machine", "Options", "Pcapng",
                "Reassembly", "Relay", "Replay", "Sealing", "SegmentPool", "Sending", "SpillCache", "Telemetry",
                "Tokens",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: strict),

        // The library from outside, as others would use it.
        .executableTarget(
            name: "send-files-example", dependencies: ["Distribution", "Machine"], path: "Examples/SendFiles",
            swiftSettings: strict),

        // Tests.
        .target(name: "CAllocationCounter", path: "CSupport/CAllocationCounter"),
        .executableTarget(
            name: "allocation-probe", dependencies: ["CAllocationCounter", "FileSystem", "Machine", "Relay"],
            path: "Tests/AllocationProbe", swiftSettings: strict),
        .target(name: "CTestSupport", path: "Tests/CSupport"),
        .target(name: "TestSupport", dependencies: ["Machine"], path: "Tests/Support", swiftSettings: strict),
        tests("SupportTests"),
        tests("FragmentsTests", "Fragments"),
        tests("MachineTests", "Machine", "CMachine"),
        tests("PcapngTests", "Pcapng", "Machine"),
        tests("CaptureTests", "Capture", "Machine", "Pcapng"),
        tests("OptionsTests", "Options"),
        tests("CommandLineTests", "FileSystem", "Options", "spillway"),
        tests("FileSystemTests", "FileSystem", "Machine", "Pcapng", "SpillCache", "spillway"),
        tests("AllocationTests", "allocation-probe"),
        tests("GeneratorTests", "Generator", "spillway"),
        tests("ReassemblyTests", "Reassembly", "Machine", "Pcapng"),
        tests("TransferTests", "Transfer", "Pcapng"),
        tests("TokensTests", "Tokens", "Transfer", "Pcapng"),
        tests("SegmentPoolTests", "SegmentPool", "Machine", "Pcapng"),
        tests("SpillCacheTests", "SpillCache", "Machine", "Pcapng", "spillway"),
        tests("CollectorTests", "Collector", "SpillCache", "Machine", "Pcapng", "spillway"),
        tests("SendingTests", "Sending", "Machine"),
        tests("AdmissionTests", "Admission"),
        tests(
            "FileServiceTests", "FileService", "Machine", "Pcapng", "Sending", "SpillCache", "Telemetry", "spillway"),
        tests("SealingTests", "Sealing", "spillway"),
        tests(
            "DistributionTests", "Distribution", "Fragments", "Machine", "CHashing", "CMachine", "spillway",
            "send-files-example"),
        tests("EgressTests", "Egress", "SegmentPool", "Capture", "Machine", "Pcapng", "Transfer"),
        .testTarget(
            name: "EndToEndTests", dependencies: ["CTestSupport", "Machine", "TestSupport", "spillway"],
            path: "Tests/EndToEnd", swiftSettings: strict),
    ]
)

// The thread sanitizer (tools/tsan) wants the modules in which threads meet and nothing else: the compiler of 6.3.1 cannot
// build all the others with it, and they take long.
if Context.environment["SPILLWAY_HAND_OVERS_ONLY"] == "1" {
    let wanted = [
        "CMachine", "CNuma", "CPcap", "CXDP", "CSending", "BPFObjects", "Machine", "Pcapng", "Capture", "Transfer",
        "Fragments", "SegmentPool", "SpillCache", "Sending", "Admission", "Egress", "TestSupport", "MachineTests",
        "SegmentPoolTests", "SendingTests", "EgressTests",
    ]
    package.targets.removeAll { !wanted.contains($0.name) }
    package.products = []
    package.dependencies = []
}
