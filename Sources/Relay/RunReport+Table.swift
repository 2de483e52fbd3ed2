internal import Egress
internal import Machine

extension RunReport {
    /// The final figures for people: what came in, what became of it, and each destination's account.
    public func table() -> String {
        var lines = ["run \(run), \(Self.decimals(seconds, 3)) s"]
        lines += Self.aligned(rows)
        for one in destinations {
            lines.append("destination \(one.plan.name)")
            let counters = Counter.allCases.filter { $0.entry.scope == .destination }
            lines += Self.aligned(
                counters.filter { Self.always.contains($0) || one.values[$0] > 0 }.map { counter in
                    let entry = counter.entry
                    return ("  " + (entry.reason.map { "dropped{\($0)}" } ?? entry.report), one.values[counter])
                })
        }
        return lines.joined(separator: "\n")
    }

    /// Shown even when zero, because the account needs them.
    private static var always: Set<Counter> {
        [.captured, .received, .encoded, .inWorker, .assigned, .delivered, .inMemory]
    }

    private var rows: [(String, UInt64)] {
        var rows: [(String, UInt64)] = []
        for counter in Counter.allCases where counter.entry.scope != .destination {
            guard Self.always.contains(counter) || totals[counter] > 0 else { continue }
            let entry = counter.entry
            rows.append(("  " + (entry.reason.map { "\(entry.report){\($0)}" } ?? entry.report), totals[counter]))
        }
        return rows + [("  in_ring", inRing)]
    }

    private static func aligned(_ rows: [(String, UInt64)]) -> [String] {
        let width = rows.map(\.0.count).max() ?? 0
        let digits = rows.map { "\($0.1)".count }.max() ?? 0
        return rows.map { name, value in
            let number = "\(value)"
            return name + String(repeating: " ", count: width - name.count + 2 + digits - number.count) + number
        }
    }

    static func decimals(_ value: Double, _ places: Int) -> String {
        let scale = [1.0, 10, 100, 1000][places]
        let whole = UInt64((value * scale).rounded())
        guard places > 0 else { return "\(whole)" }
        let fraction = "\(whole % UInt64(scale))"
        return "\(whole / UInt64(scale))." + String(repeating: "0", count: places - fraction.count) + fraction
    }
}
