// swift-tools-version: 6.3
import PackageDescription

/// The range library against the standard library; `boost.cpp` beside this file does the same with boost::icl.
/// `tools/bench-fragments` builds both and compares. The sources of the library are compiled in through the
/// package they belong to, so that the optimiser sees what a user's program would see.
let package = Package(
    name: "fragments-bench",
    dependencies: [.package(name: "spillway", path: "../..")],
    targets: []
)
