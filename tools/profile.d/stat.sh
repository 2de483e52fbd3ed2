# shellcheck shell=bash disable=SC2034,SC2154
uses='--threads'

explain() {
    cat <<'END'
tools/profile stat [-p PID] [-t LIST] [-d SECONDS]

Counters of each thread: share of a CPU, context switches, moves between CPUs, page faults; and where the processor
counts them, cycles, instructions (per cycle), cache misses and mispredicted branches.

What is good: no moves between CPUs (the threads are pinned), no page faults after the start, above 1.5 instructions per
cycle. Many context switches are naps of a thread that has little to do, and cost no packets.
END
}

profile() {
    local events=task-clock,context-switches,cpu-migrations,page-faults
    local hardware=cycles,instructions,branches,branch-misses,cache-references,cache-misses
    needs_perf
    if counts_cycles; then events+=,$hardware; fi
    note "counting for ${duration:-5} s"
    run_perf stat -x ';' -o "$work/stat" --per-thread -e "$events" -t "$(thread_ids)" -- sleep "${duration:-5}"
    title "Counters in ${duration:-5} s"
    thread_column >"$work/columns"
    # perf writes NAME-ID;value;unit;event;...
    awk -F ';' -v seconds="${duration:-5}" -v events="$events" '
        function shown(value) { return value ~ /^</ ? "-" : sprintf("%.0f", value) }
        FILENAME ~ /columns$/ { split($0, part, " "); order[++threads] = part[1]; sub(/^[0-9]+ /, ""); who[part[1]] = $0; next }
        /^#/ || NF < 4 { next }
        {
            id = $1
            sub(/.*-/, "", id)
            # Counted in the program only, these are zero, because they happen in the kernel.
            if ($4 ~ /^(context-switches|cpu-migrations):u/) $2 = "<not permitted>"
            sub(/:.*/, "", $4)
            value[id, $4] = $2
        }
        END {
            count = split(events, event, ",")
            printf "%-28s %10s", "thread", "CPU %"
            for (i = 2; i <= count; i++) printf " %16s", event[i]
            if (count > 4) printf " %10s", "insn/cycle"
            printf "\n"
            for (t = 1; t <= threads; t++) {
                id = order[t]
                printf "%-28s %10.1f", who[id], value[id, "task-clock"] / seconds / 10
                for (i = 2; i <= count; i++) printf " %16s", shown(value[id, event[i]] == "" ? "<>" : value[id, event[i]])
                if (count > 4) printf " %10.2f", (value[id, "cycles"] > 0 ? value[id, "instructions"] / value[id, "cycles"] : 0)
                printf "\n"
            }
        }' "$work/columns" "$work/stat"
    if grep -q ';context-switches:u;' "$work/stat"; then
        left_out "what the kernel does for the threads: only root may count it (kernel.perf_event_paranoid is $(cat /proc/sys/kernel/perf_event_paranoid))."
    fi
    if [[ $events != *cycles* ]]; then
        left_out "cycles, instructions, branches and cache misses: this machine has no hardware counters (or its host does
not pass them on)."
    fi
}
