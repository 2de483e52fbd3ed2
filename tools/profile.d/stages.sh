# shellcheck shell=bash disable=SC2034,SC2154
uses='--threads'

explain() {
    cat <<'END'
tools/profile stages [-p PID] [-d SECONDS] [-m ADDR:PORT]

CPU time per packet of every stage on one page: capture and worker of each queue, egress, the kernel's softirq on each CPU,
and the XDP program where the kernel measures it.

  CPU %     share of a CPU. Near 100 the stage is at its limit, unless it polls.
  ns/pkt    CPU time by packets. It falls as the rate rises, because naps and bursts are shared by more packets: compare
            at equal rates.
  wait %    share of the time in which the thread could have run but its CPU had other work; see 'tools/profile sched'
END
}

# CPU times now: "thread ID RAN WAITED" in nanoseconds, "cpu N SOFTIRQ ALL" in ticks, "program NAME TIME RUNS".
cpu_times() {
    local id rest name
    while read -r id rest; do
        printf 'thread %s %s\n' "$id" "$(cat "/proc/$pid/task/$id/schedstat" 2>/dev/null || echo 0 0 0)"
    done <"$work/threads"
    awk '/^cpu[0-9]/ { all = 0; for (i = 2; i <= 9; i++) all += $i; print "cpu", substr($1, 4), $8, all }' /proc/stat
    awk '$4 != "-" { print $4 }' "$work/all" | sort -u | while read -r name; do
        xdp_program "$name" | sed "s/^/program $name /"
    done
}

# Nanoseconds and runs of the XDP program on an interface, if the kernel measures them.
xdp_program() {
    local id
    [ "$(cat /proc/sys/kernel/bpf_stats_enabled 2>/dev/null)" = 1 ] && command -v bpftool >/dev/null || return 0
    id=$(inside ip -d link show dev "$1" 2>/dev/null | sed -n 's/.*prog\/xdp id \([0-9]*\).*/\1/p')
    [ -n "$id" ] || return 0
    bpftool -j prog show id "$id" 2>/dev/null | sed -n 's/.*"run_time_ns":\([0-9]*\).*"run_cnt":\([0-9]*\).*/\1 \2/p'
}

# Metrics as "NAME INPUT QUEUE REASON VALUE".
figures() {
    awk '
        function label(key) { return match($0, "[{,]" key "=\"[^\"]*\"") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 4) : "-" }
        /^spillway_.*_packets_total/ { name = $1; sub(/[{].*/, "", name); print name, label("input"), label("queue"), label("reason"), $NF }' "$1"
}

profile() {
    needs_metrics
    local start=${EPOCHREALTIME//[!0-9]/}
    fetch >"$work/m0" || fail 69 "no metrics at $metrics: $(cat "$work/curl")"
    cpu_times >"$work/before"
    note "measuring for ${duration:-5} s"
    sleep "${duration:-5}"
    local end=${EPOCHREALTIME//[!0-9]/}
    cpu_times >"$work/after"
    fetch >"$work/m1" || fail 69 "the metrics at $metrics went away: $(cat "$work/curl")"
    figures "$work/m0" >"$work/figures0"
    figures "$work/m1" >"$work/figures1"
    title "CPU time per packet in ${duration:-5} s"
    awk -v seconds="$(awk "BEGIN { print ($end - $start) / 1e6 }")" -f "$parts/stages.awk" \
        "$work/threads" "$work/figures0" "$work/figures1" "$work/before" "$work/after"
    if ! grep -q '^program' "$work/after"; then
        left_out "the XDP program's own time: only with 'sysctl kernel.bpf_stats_enabled=1' does the kernel measure it, at the
cost of two looks at the clock for each packet."
    fi
    left_out "the driver's and the XDP program's share of softirq by packet; softirq also serves everything else on that CPU."
}
