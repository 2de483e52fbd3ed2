# shellcheck shell=bash disable=SC2034,SC2154
uses='--threads'

explain() {
    cat <<'END'
tools/profile sched [-p PID] [-t LIST] [-d SECONDS]

Scheduler latency of each thread: from the moment it could run (woken, or put off its CPU while it still had work) to the
moment it ran. While a capture thread waits, packets pile up in the receive ring; when that is full they are lost as
dropped{fill_ring_empty} or dropped{rx_ring_full}. The last part says who ran on the CPU meanwhile.

What is good: no thread is put off its CPU, and the worst latency is far below the time in which the receive ring fills
(frames / packets per second). What helps: CPUs of their own (isolcpus or a cpuset), IRQs elsewhere. See docs/profiling.md.
Tracing needs root. Without it the averages of /proc are shown.
END
}

# Waits, nanoseconds on the CPU and waiting for it, of each chosen thread.
waits() {
    local id rest
    while read -r id rest; do
        printf '%s %s\n' "$id" "$(cat "/proc/$pid/task/$id/schedstat" 2>/dev/null || echo 0 0 0)"
    done <"$work/threads"
}

# Scheduler events of the chosen threads only.
trace() {
    local switch waking
    switch=$(awk '{ printf "%sprev_pid==%s||next_pid==%s", (NR > 1 ? "||" : ""), $1, $1 }' "$work/threads")
    waking=$(awk '{ printf "%spid==%s", (NR > 1 ? "||" : ""), $1 }' "$work/threads")
    run_perf record -q -a -o "$work/data" -e sched:sched_switch --filter "$switch" -e sched:sched_waking \
        --filter "$waking" -- sleep "${duration:-5}"
    perf script --ns -i "$work/data" -F time,event,trace 2>/dev/null |
        awk -f "$parts/sched.awk" "$work/threads" - | LC_ALL=C sort -k 1,1 -k 2,2 -k 3,3n >"$work/events"
}

profile() {
    local traced=no
    if [ "$(id -u)" -eq 0 ] && [ -d /sys/kernel/tracing/events/sched ] && command -v perf >/dev/null; then traced=yes; fi
    note "watching for ${duration:-5} s"
    waits >"$work/before"
    : >"$work/events"
    if [ $traced = yes ]; then trace; else sleep "${duration:-5}"; fi
    waits >"$work/after"
    thread_column >"$work/columns"
    title "Scheduler latency in ${duration:-5} s"
    awk -v seconds="${duration:-5}" -v traced=$traced '
        function shown(value) { return traced == "yes" ? sprintf("%.1f", value / 1000) : "-" }
        FILENAME ~ /columns$/ { split($0, part, " "); order[++threads] = part[1]; sub(/^[0-9]+ /, ""); who[part[1]] = $0; next }
        FILENAME ~ /before$/ { ran[$1] = -$2; waited[$1] = -$3; times[$1] = -$4; next }
        FILENAME ~ /after$/ { ran[$1] += $2; waited[$1] += $3; times[$1] += $4; next }
        $2 == "wait" { wait[$1, ++waits[$1]] = $3 }
        $2 == "put-off" { put_off[$1]++; by[$1, $4]++; names[$1 " " $4] = 1 }
        END {
            printf "%-28s %7s %9s %9s %10s %10s %10s %10s\n", "thread", "CPU %", "runs", "put off", "avg us", "p50 us", "p99 us", "max us"
            for (t = 1; t <= threads; t++) {
                id = order[t]
                n = waits[id]
                printf "%-28s %7.1f %9d %9s %10.1f %10s %10s %10s\n", who[id], ran[id] / seconds / 1e7, times[id],
                    (traced == "yes" ? put_off[id] + 0 : "-"), (times[id] > 0 ? waited[id] / times[id] / 1000 : 0),
                    shown(wait[id, int((n + 1) / 2)]), shown(wait[id, int(n * 0.99 + 0.999)]), shown(wait[id, n])
            }
            for (t = 1; t <= threads; t++) for (pair in names) {
                split(pair, part, " ")
                if (part[1] != order[t]) continue
                if (!(part[1] in told)) { printf "\n%s was put off its CPU by", who[part[1]]; told[part[1]] = 1; sep = " " }
                printf "%s%s (%d)", sep, part[2], by[part[1], part[2]]
                sep = ", "
            }
            if (sep != "") printf "\n"
        }' "$work/columns" "$work/before" "$work/after" "$work/events"
    if [ $traced = no ]; then
        left_out "percentiles, the worst case, and who ran instead: they need root, perf and the kernel's sched tracepoints."
    else
        left_out "CPU % as it is without tracing, which costs CPU itself; 'tools/profile stages' has it."
    fi
    left_out "time that interrupts, and the host of a virtual machine (steal in top), take from a running thread."
}
