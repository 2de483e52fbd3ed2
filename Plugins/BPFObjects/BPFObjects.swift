import Foundation
import PackagePlugin

/// Compiles programs of `bpf/` with the toolchain's clang and gives each to its target as a Swift constant.
///
/// `bpf/NAME.bpf.c` becomes `NAMEObject`, a static string of the object's bytes in hexadecimal: a literal array of tens
/// of thousands of bytes takes the compiler seconds, a string none.
@main
struct BPFObjects: BuildToolPlugin {
    /// Which programs a target gets.
    static let programs = ["Capture": ["spillway", "clocked"], "Generator": ["generator"]]

    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let clang = try context.tool(named: "clang").url.path
        return try Self.programs[target.name, default: []].map { name in
            let folder = context.package.directoryURL.appendingPathComponent("bpf")
            let source = folder.appendingPathComponent("\(name).bpf.c")
            let sources = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
                .filter { ["h", "c"].contains($0.pathExtension) }
            let output = context.pluginWorkDirectoryURL.appendingPathComponent("\(name)Object.swift")
            // The object itself is no output file: it would become a resource of the target.
            return .buildCommand(
                displayName: "Compiling bpf/\(name).bpf.c",
                executable: URL(fileURLWithPath: "/bin/sh"),
                arguments: ["-c", Self.script, clang, source.path, output.path, name],
                inputFiles: sources, outputFiles: [output])
        }
    }

    /// Arguments: clang, the source, the Swift file, the name. Debugging sections go, BTF stays.
    private static let script = """
        set -eu
        arch=$(uname -m)
        object=${2%.swift}.o
        "$0" -target bpf -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -I"/usr/include/$arch-linux-gnu" \
            -c "$1" -o "$object"
        "$(dirname "$0")/llvm-objcopy" --strip-debug "$object"
        {
            echo '/// An object file for BPF in hexadecimal, made from bpf/'"$3"'.bpf.c.'
            printf 'let %sObject: StaticString = "' "$3"
            od -An -v -tx1 "$object" | tr -d ' \\n'
            echo '"'
        } >"$2.new"
        mv "$2.new" "$2"
        """
}
