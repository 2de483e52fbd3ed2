import Foundation
import PackagePlugin

/// Compiles bpf/spillway.bpf.c with the Swift toolchain's own clang and embeds the object in the module.
@main
struct EmbedBPF: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let package = context.package.directoryURL
        let source = package.appending(path: "bpf/spillway.bpf.c")
        let script = package.appending(path: "tools/embed-bpf")
        let folder = context.pluginWorkDirectoryURL
        let output = folder.appending(path: "CaptureProgramObject.swift")
        return [
            .buildCommand(
                displayName: "Compiling spillway.bpf.c",
                executable: URL(filePath: "/bin/sh"),
                arguments: [
                    script.path, try context.tool(named: "clang").url.path, source.path,
                    package.appending(path: "bpf").path, folder.appending(path: "spillway.bpf.o").path, output.path,
                    "CaptureProgramObject",
                ],
                inputFiles: [source, package.appending(path: "bpf/spillway_shared.h"), script],
                // The object file is left out on purpose: SwiftPM would make it a resource of the module.
                outputFiles: [output])
        ]
    }
}
