# shellcheck shell=bash disable=SC2034,SC2154
uses='--threads --cpus'

explain() {
    cat <<'END'
tools/profile cpu [-p PID] [-t LIST | -C LIST] [-d SECONDS] [-F HZ]

Samples the chosen threads, or everything on the chosen CPUs, and shows the functions that were running, per thread, most
first; of more than 12 threads the busiest. Every percentage is of all samples. A thread that sleeps gets none: 100 % is all of the CPU time used, not of the
time that passed; 'share of a CPU' at each thread relates both.
END
}

profile() {
    needs_perf
    note "sampling for ${duration:-5} s"
    sample
    perf script -i "$work/data" -F comm,tid,ip,sym,dso 2>/dev/null | demangled |
        awk -v leaf=1 -f "$parts/collapse.awk" >"$work/leaves"
    [ -s "$work/leaves" ] || fail 69 "nothing ran in that time, so there is no sample"
    title "CPU time by function"
    awk -v hertz="$frequency" -v seconds="${duration:-5}" '
        FILENAME ~ /threads$/ { where[$1] = $4 == "-" ? "" : ($5 == "-" ? ", " $4 : ", " $4 " queue " $5); next }
        {
            count = $NF
            sub(/ [0-9]+$/, "")
            split($0, part, ";")
            thread = part[1] ";" part[2]
            samples[thread] += count
            all += count
            at[thread, ++functions[thread]] = count
            name[thread, functions[thread]] = part[3]
        }
        END {
            printf "%d samples\n", all
            for (told = 0; told < 12; told++) {
                best = ""
                for (thread in samples) if (best == "" || samples[thread] > samples[best]) best = thread
                if (best == "") break
                split(best, part, ";")
                printf "\n%s%s: %d samples, %.1f %% of a CPU\n", part[1], where[part[2]], samples[best],
                    100 * samples[best] / (hertz * seconds)
                for (shown = 0; shown < 15; shown++) {
                    top = 0
                    for (i = 1; i <= functions[best]; i++) if (at[best, i] > 0 && (!top || at[best, i] > at[best, top])) top = i
                    if (!top) break
                    printf "  %6.2f %%  %s\n", 100 * at[best, top] / all, name[best, top]
                    at[best, top] = 0
                }
                delete samples[best]
            }
        }' "$work/threads" "$work/leaves"
    say_what_sampling_leaves_out
}
