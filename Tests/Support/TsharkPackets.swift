/// What tshark says about the packets of a capture file, in the order of the file.
///
/// - Parameter interfacesPerSection: how many interfaces each section has, since tshark numbers them anew in each.
/// - Throws: when tshark fails, or says something that is not understood.
public func tsharkPackets(_ path: String, interfacesPerSection: [Int]) throws -> [SamplePacket] {
    // Only the frame's own fields and bytes: no name resolution, no look into the packets.
    let result = try run("tshark", ["-n", "-r", path, "-T", "json", "-x", "-j", "frame"]).checked()
    var packets: [SamplePacket] = []
    var fields: [String: String] = [:]
    var lines = result.outputLines.makeIterator()
    while let line = lines.next() {
        if line.contains("\"frame_raw\": [") {
            fields = ["bytes": quoted(lines.next() ?? "").first ?? ""]
        } else if line.contains("\"frame.") {
            let parts = quoted(line)
            if parts.count == 2 { fields[parts[0]] = parts[1] }
        } else if line.hasPrefix("  }") {
            // A row that is not a packet, such as a custom block, has no encapsulation.
            if fields["frame.encap_type"] != nil {
                packets.append(try packet(from: fields, interfacesPerSection))
            }
            fields = [:]
        }
    }
    return packets
}

private func packet(from fields: [String: String], _ interfacesPerSection: [Int]) throws -> SamplePacket {
    let section = fields["frame.section_number"].flatMap { Int($0) } ?? 1
    let earlier = interfacesPerSection.prefix(section - 1).reduce(0, +)
    let hexadecimal = Array((fields["bytes"] ?? "").utf8)
    let bytes = try stride(from: 0, to: hexadecimal.count - 1, by: 2).map { index in
        let text = String(decoding: hexadecimal[index...index + 1], as: UTF8.self)
        guard let byte = UInt8(text, radix: 16) else { throw CommandProblem("tshark wrote the byte \(text)") }
        return byte
    }
    guard let original = fields["frame.len"].flatMap({ UInt32($0) }), fields["frame.cap_len"] == "\(bytes.count)"
    else { throw CommandProblem("tshark wrote a packet without lengths: \(fields)") }
    return SamplePacket(
        time: try nanoseconds(fields["frame.time_epoch"] ?? "0.000000000"), original: original,
        interface: UInt32(earlier) + (fields["frame.interface_id"].flatMap { UInt32($0) } ?? 0), bytes: bytes)
}

/// "1700000000.123456789" as nanoseconds.
private func nanoseconds(_ text: String) throws -> UInt64 {
    let parts = text.split(separator: ".")
    guard parts.count == 2, parts[1].count == 9, let seconds = UInt64(parts[0]), let rest = UInt64(parts[1])
    else { throw CommandProblem("tshark wrote the time \(text)") }
    return seconds * 1_000_000_000 + rest
}

/// The texts in quotation marks of a line.
private func quoted(_ line: String) -> [String] {
    line.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
        .filter { $0.offset % 2 == 1 }.map { String($0.element) }
}
