public import Machine

/// Which thread runs on which CPU, and which threads are one.
public struct Placement: Sendable, Equatable {
    /// One capture thread and its worker.
    public struct Lane: Sendable, Equatable {
        /// Where capture runs.
        public var capture: CPUSet
        /// Where its worker runs; the same single CPU as capture when they run to completion in one thread.
        public var worker: CPUSet
        /// Capture and worker are one thread, and there is no ring between them.
        public var isMerged: Bool
    }

    /// One per input that runs at the same time.
    public var lanes: [Lane]
    /// Where the egress thread runs.
    public var egress: CPUSet
    /// Where the control thread runs.
    public var control: CPUSet

    /// Decides by what was asked for and what there is.
    ///
    /// One CPU: everything there. Two: capture and worker together on the second, the rest on the first. More: control on
    /// the first, egress on the second, and the others shared out to capture and worker, in pairs while they last.
    ///
    /// - Parameter mergesThreads: capture and worker are to be one thread unless `--worker-cpus` says otherwise: the packets
    ///   of an AF_XDP queue are worked on where they lie, and more CPUs serve more queues.
    public init(
        options: RelayOptions, lanes count: Int, available: CPUSet, mergesThreads: Bool
    ) throws(RelayError) {
        for (option, set) in [
            ("--capture-cpus", options.captureCPUs), ("--worker-cpus", options.workerCPUs),
            ("--egress-cpus", options.egressCPUs), ("--control-cpus", options.controlCPUs),
        ] {
            if let set, !set.isSubset(of: available) {
                throw RelayError(.usage, "\(option) \(set): this process may only use CPUs \(available)")
            }
        }
        let cpus = available.members
        control = options.controlCPUs ?? CPUSet([cpus[0]])
        egress = options.egressCPUs ?? CPUSet([cpus.count > 2 ? cpus[1] : cpus[0]])
        let busy = cpus.count > 2 ? Array(cpus[2...]) : [cpus[cpus.count - 1]]
        let captures = options.captureCPUs?.members
        let workers = options.workerCPUs?.members
        lanes = (0..<count).map { number in
            // Pairs while they last: with fewer CPUs than two per input, capture and worker share one.
            let paired = busy.count >= 2 * count && !mergesThreads
            let capture = captures.map { $0[number % $0.count] } ?? busy[(paired ? 2 * number : number) % busy.count]
            let isApart = !mergesThreads && (captures == nil || workers != nil)
            let fallback = isApart ? busy[(paired ? 2 * number + 1 : number) % busy.count] : capture
            let worker = workers.map { $0[number % $0.count] } ?? fallback
            return Lane(capture: CPUSet([capture]), worker: CPUSet([worker]), isMerged: capture == worker)
        }
    }

    /// One line for the start of a run.
    public var description: String {
        let parts = lanes.enumerated().map { number, lane in
            lane.isMerged
                ? "capture and worker \(number) in one thread on CPU \(lane.capture)"
                : "capture \(number) on CPU \(lane.capture), worker \(number) on CPU \(lane.worker)"
        }
        return (parts + ["egress on CPU \(egress)", "control on CPU \(control)"]).joined(separator: "; ")
    }
}
