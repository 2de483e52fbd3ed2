import Pcapng
import SpillCache
import Telemetry

/// What `spillway inspect` has to say.
struct InspectResult {
    var survey: CacheSurvey?
    var owed: [OwedPackets] = []
    var repairs: [CacheRepair.Outcome]?
    var export: CacheExportReport?

    /// How much is wrong, in one line.
    var findings: String {
        let faulty = survey?.faulty ?? []
        let places = faulty.reduce(0) { $0 + max($1.damagedPlaces, 1) }
        return
            "\(places) damaged place\(places == 1 ? "" : "s") in \(faulty.count) of \(survey?.files.count ?? 0) files"
    }

    // ---- for people --------------------------------------------------------------------------------------------------

    func text(checked: Bool) -> String {
        guard let survey else { return "" }
        var lines: [String] = []
        if let owner = survey.owner { lines.append("in use by \(owner); nothing is locked or changed") }
        lines += table(survey)
        lines += owed.map { "owed to \($0.name): \($0.packets) packets in \($0.batches) batches of \($0.files) files" }
        lines += survey.files.flatMap(\.faults)
        if checked { lines.append(survey.faulty.isEmpty ? "every byte checked: nothing wrong" : findings) }
        if let export { lines += summary(export) }
        return lines.joined(separator: "\n")
    }

    private func table(_ survey: CacheSurvey) -> [String] {
        var rows = [["FILE", "STATE", "FROM", "TO", "RUN", "BATCHES", "PACKETS", "BYTES"]]
        for file in survey.files {
            rows.append(
                [file.name, file.state.rawValue] + Self.span(file.times, isEmpty: file.batches == 0)
                    + [Self.runs(file.runs)] + [file.batches, file.packets, file.size].map { "\($0)" })
        }
        let count = survey.files.count
        rows.append(
            ["\(count) file\(count == 1 ? "" : "s")", ""] + Self.span(survey.times, isEmpty: survey.batches == 0)
                + ["\(survey.runs.count) run\(survey.runs.count == 1 ? "" : "s")"]
                + [survey.batches, survey.packets, survey.bytes].map { "\($0)" })
        return Self.aligned(rows, numbers: 5)
    }

    private func summary(_ export: CacheExportReport) -> [String] {
        var lines = ["exported \(export.packets) packets of \(export.batches) batches, \(export.bytes) bytes"]
        if export.damagedPlaces > 0 {
            lines.append("left out \(export.damagedBytes) bytes at \(export.damagedPlaces) damaged places")
        }
        if export.repeated > 0 { lines.append("left out \(export.repeated) batches that were there already") }
        lines += export.skipped.map { "left out: \($0)" }
        if export.linkTypes.count > 1 {
            let types = export.linkTypes.sorted().map { LinkType($0).name ?? "\($0)" }.joined(separator: ", ")
            lines.append("link types \(types): tshark reads such a file, tcpdump does not")
        }
        return lines
    }

    private static func span(_ times: BatchTimes, isEmpty: Bool) -> [String] {
        isEmpty ? ["-", "-"] : [CalendarTime.text(times.leastTime), CalendarTime.text(times.greatestTime)]
    }

    private static func runs(_ runs: [RunIdentity]) -> String {
        guard let first = runs.first else { return "-" }
        return first.description.prefix(8) + (runs.count > 1 ? " and \(runs.count - 1) more" : "")
    }

    /// Columns under each other; those from `numbers` on end in line.
    private static func aligned(_ rows: [[String]], numbers: Int) -> [String] {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { column, text in
                let gap = String(repeating: " ", count: widths[column] - text.count)
                return column < numbers ? text + gap : gap + text
            }
            let line = cells.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
    }

    // ---- for programs ------------------------------------------------------------------------------------------------

    var json: JSONValue {
        guard let survey else { return .null }
        var members: [(String, JSONValue)] = [
            ("directory", .string(survey.path)), ("owner", survey.owner.map(JSONValue.string) ?? .null),
            ("files", .array(survey.files.map(Self.json))),
            ("runs", .array(survey.runs.map { .string($0.description) })),
            ("batches", .number(survey.batches)), ("packets", .number(survey.packets)),
            ("bytes", .number(survey.bytes)),
            ("damaged_places", .number(UInt64(survey.faulty.reduce(0) { $0 + $1.damagedPlaces }))),
            ("owed", .array(owed.map(Self.json))), ("others", .array(survey.others.map(JSONValue.string))),
        ]
        members += Self.json(survey.times, isEmpty: survey.batches == 0)
        if let repairs { members.append(("repairs", .array(repairs.map { .string($0.description) }))) }
        if let export { members.append(("export", Self.json(export))) }
        return .object(members)
    }

    private static func json(_ file: SurveyedFile) -> JSONValue {
        var members: [(String, JSONValue)] = [
            ("name", .string(file.name)), ("state", .string(file.state.rawValue)), ("bytes", .number(file.size)),
            ("batches", .number(file.batches)), ("packets", .number(file.packets)),
            ("record_bytes", .number(file.recordBytes)),
            ("link_type", file.linkType.map { .number(UInt64($0)) } ?? .null),
            ("runs", .array(file.runs.map { .string($0.description) })),
        ]
        members += json(file.times, isEmpty: file.batches == 0)
        if let problem = file.problem { members.append(("problem", .string(problem))) }
        members += [
            ("damaged_places", .number(UInt64(file.damagedPlaces))), ("damaged_bytes", .number(file.damagedBytes)),
            (
                "damage",
                .array(
                    file.damage.map {
                        .object([
                            ("offset", .number($0.offset)), ("bytes", .number($0.byteCount)),
                            ("what", .string($0.kind.rawValue)),
                        ])
                    })
            ),
        ]
        return .object(members)
    }

    private static func json(_ owed: OwedPackets) -> JSONValue {
        .object([
            ("destination", .string(owed.name)), ("files", .number(owed.files)), ("batches", .number(owed.batches)),
            ("packets", .number(owed.packets)),
        ])
    }

    private static func json(_ times: BatchTimes, isEmpty: Bool) -> [(String, JSONValue)] {
        let values = [
            ("least_time_ns", times.leastTime), ("greatest_time_ns", times.greatestTime),
            ("first_arrival_ns", times.firstArrival), ("last_arrival_ns", times.lastArrival),
        ]
        return values.map { ($0.0, isEmpty ? .null : .number($0.1)) }
    }

    private static func json(_ export: CacheExportReport) -> JSONValue {
        .object([
            ("packets", .number(export.packets)), ("batches", .number(export.batches)),
            ("bytes", .number(export.bytes)), ("repeated", .number(export.repeated)),
            ("damaged_places", .number(UInt64(export.damagedPlaces))),
            ("damaged_bytes", .number(export.damagedBytes)), ("runs", .number(UInt64(export.runs))),
            ("skipped", .array(export.skipped.map(JSONValue.string))),
        ])
    }
}
