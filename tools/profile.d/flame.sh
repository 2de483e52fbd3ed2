# shellcheck shell=bash disable=SC2034,SC2154
uses='--threads --cpus'

explain() {
    cat <<'END'
tools/profile flame [-p PID] [-t LIST | -C LIST] [-d SECONDS] [-F HZ] [-o FILE]

A flame graph: one column of boxes for each thread, callers below, a box as wide as its share of all samples. Any browser
shows the file; it loads nothing from elsewhere, and the mouse on a box shows its full name and share.
Yellow to red is the program, blue the kernel.
END
}

profile() {
    needs_perf
    : 2>/dev/null >"$output" || fail 73 "cannot create $output"
    note "sampling for ${duration:-5} s"
    sample
    perf script -i "$work/data" -F comm,tid,ip,sym,dso 2>/dev/null | demangled |
        awk -f "$parts/collapse.awk" | sed 's/;[0-9]*;/;/' | LC_ALL=C sort >"$work/stacks"
    [ -s "$work/stacks" ] || fail 69 "nothing ran in that time, so there is no sample"
    awk -v heading="spillway, process $pid, $(date '+%Y-%m-%d %H:%M:%S'), ${duration:-5} s" -f "$parts/flame.awk" \
        "$work/stacks" >"$output" || fail 73 "cannot write $output"
    printf '%s: %d samples, %d different stacks\n' "$output" "$(awk '{ sum += $NF } END { print sum }' "$work/stacks")" \
        "$(wc -l <"$work/stacks")"
    say_what_sampling_leaves_out
}
