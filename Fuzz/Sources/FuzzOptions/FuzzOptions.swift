import Options

/// Gives the lines of the input to options, as command line and as environment. Whatever is written, it must not crash;
/// what is understood must be within the limits that others rely on; what is not understood must be named.
///
/// The first byte of a line chooses the option, the rest is its value.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data = unsafe data, count > 0 else { return 0 }
    let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
    var commandLine: [RunOption: [String]] = [:]
    var environment: [String: String] = [:]
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
        let option = RunOption.allCases[Int(line[line.startIndex]) % RunOption.allCases.count]
        let text = String(decoding: line.dropFirst(), as: UTF8.self)
        commandLine[option, default: []].append(text)
        environment[option.variable] = text
    }
    check(Settings(commandLine: commandLine, environment: [:]))
    // With an input and an output of its own, so that the values come to be looked at.
    commandLine.merge([.read: ["a"], .to: ["null"]]) { given, _ in given }
    check(Settings(commandLine: commandLine, environment: [:]))
    check(Settings(commandLine: [:], environment: environment))
    return 0
}

private func check(_ settings: Settings) {
    do throws(OptionError) {
        let options = try RunOptions(settings, hostName: "host")
        precondition(Values.isName(options.name))
        precondition(options.snapLength.map { (1...262_144).contains($0) } ?? true)
        precondition(options.segmentSize.map { $0 & ($0 - 1) == 0 && $0 >= 512 << 10 && $0 <= 32 << 20 } ?? true)
        precondition(options.batchPackets != 0 && options.count != 0 && options.duration != 0)
        precondition((options.duration ?? 0) <= Values.longestTime && (options.drainTimeout ?? 0) <= Values.longestTime)
        precondition(Set(options.destinations.map(\.name)).count == options.destinations.count)
    } catch {
        precondition(error.kind == .usage && !error.description.isEmpty)
    }
}
