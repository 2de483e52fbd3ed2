import TestSupport
import Testing

@Suite("What tools/profile makes of perf's output")
struct ProfileParsingTests {
    private func awk(_ script: String, _ input: String, _ options: [String] = []) throws -> [Substring] {
        let text = try run("awk", options + ["-f", "\(profileTool).d/\(script).awk", "-"], input: Array(input.utf8))
            .checked()
        return text.outputText.split(separator: "\n").sorted()
    }

    private let samples = """
        capture-0    77 
        \tffffffff82 do_poll ([kernel.kallsyms])
        \t       f8 poll (/usr/lib/libc.so.6)
        \t      4a1 XDPReader.run(a; b) (/usr/bin/spillway)

        capture-0    77 
        \tffffffff82 do_poll ([kernel.kallsyms])
        \t       f8 poll (/usr/lib/libc.so.6)
        \t      4a1 XDPReader.run(a; b) (/usr/bin/spillway)

        a b    78 
        \t7f [unknown] (/usr/lib/libx.so)
        \t80 clock ([vdso])


        """

    @Test("Stacks are folded, the outermost caller first")
    func folded() throws {
        #expect(
            try awk("collapse", samples) == [
                "a b;78;clock;[libx.so] 1", "capture-0;77;XDPReader.run(a: b);poll;do_poll_[k] 2",
            ])
        #expect(
            try awk("collapse", samples, ["-v", "leaf=1"]) == ["a b;78;[libx.so] 1", "capture-0;77;do_poll_[k] 2"])
    }

    @Test("A flame graph's boxes have the samples of what they hold")
    func flame() throws {
        let picture = try awk("flame", "t;f;g 3\nt;f;h<int> 1\nt;k_[k] 4\n")
        let titles = picture.compactMap { line in line.firstRange(of: "</title>").map { line[..<$0.lowerBound] } }
        let expected = [
            "all: 8 samples, 100.00 %", "t: 8 samples, 100.00 %", "f: 4 samples, 50.00 %", "g: 3 samples, 37.50 %",
            "h&lt;int&gt;: 1 samples, 12.50 %", "k_[k]: 4 samples, 50.00 %",
        ]
        #expect(Set(titles) == Set(expected.map { "<g><title>\($0)" }))
    }

    @Test("Waits for a CPU, from being woken and from being put off, to running")
    func waits() throws {
        func put(_ time: String, off one: String, _ state: String, on other: String) -> String {
            "\(time): sched:sched_switch: prev_comm=\(one) prev_prio=120 prev_state=\(state) ==> "
                + "next_comm=\(other) next_prio=120\n"
        }
        let events =
            "9.999999000: sched:sched_waking: comm=capture-0 pid=77 prio=120 target_cpu=000\n"
            // Woken again before it ran: the first time counts.
            + "10.000000500: sched:sched_waking: comm=capture-0 pid=77 prio=120 target_cpu=000\n"
            + put("10.000001000", off: "swapper prev_pid=0", "R", on: "capture-0 next_pid=77")
            + put("10.000005000", off: "capture-0 prev_pid=77", "R+", on: "a b next_pid=5")
            + put("10.000012000", off: "a b prev_pid=5", "S", on: "capture-0 next_pid=77")
            // Asleep by itself: that is no waiting.
            + put("10.000020000", off: "capture-0 prev_pid=77", "S", on: "a b next_pid=5")
            + put("10.000090000", off: "a b prev_pid=5", "S", on: "capture-0 next_pid=77")
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/threads", Array("77 capture-0 capture right 0\n".utf8))
            let text = try run(
                "awk", ["-f", "\(profileTool).d/sched.awk", "\(folder)/threads", "-"], input: Array(events.utf8))
            #expect(
                try text.checked().outputText.split(separator: "\n")
                    == ["77 wait 2000", "77 put-off 0 a_b", "77 wait 7000"])
        }
    }
}
