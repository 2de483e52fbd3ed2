internal import Egress
internal import Machine

/// A destination as people see it, by its name: one that was taken out by SIGHUP and came again goes on counting.
struct DestinationRow {
    /// The plan it had last.
    let plan: DestinationPlan
    /// The numbers of all it has had, in their order.
    private(set) var numbers: [Int]

    /// A row for each name, in the order in which these came first.
    static func all(of plans: [DestinationPlan]) -> [Self] {
        var (rows, places): ([Self], [String: Int]) = ([], [:])
        for (number, plan) in plans.enumerated() {
            let place = places[plan.name]
            let row = Self(plan: plan, numbers: (place.map { rows[$0].numbers } ?? []) + [number])
            if let place {
                rows[place] = row
            } else {
                places[plan.name] = rows.count
                rows.append(row)
            }
        }
        return rows
    }

    /// What was counted under this name.
    func values(_ counters: RunCounters) -> CounterSnapshot {
        numbers.reduce(CounterSnapshot()) { $0 + counters.destinations[$1].snapshot() }
    }

    /// Of what is known by plans, what is known of the last one.
    func latest<Known>(_ known: [Int: Known]) -> Known? { numbers.reversed().lazy.compactMap { known[$0] }.first }
}
