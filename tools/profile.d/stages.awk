# One page out of two looks: the threads, metrics before and after, CPU times before and after (profile.d/stages.sh).

function packets(metric, input, queue) { return figure[metric, input, queue] + 0 }
function per(nanoseconds, count) { return count > 0 ? sprintf("%.1f", nanoseconds / count) : "-" }

FILENAME ~ /threads$/ {
    order[++threads] = $1; name[$1] = $2; stage[$1] = $3; input[$1] = $4; queue[$1] = $5
    next
}

FILENAME ~ /figures[01]$/ {
    sign = FILENAME ~ /0$/ ? -1 : 1
    figure[$1, $2, $3] += sign * $5
    all[$1] += sign * $5
    if (sign > 0) since_start[$1] += $5
    if ($4 != "-") {
        reason = $1 " " $4
        sub(/^spillway_/, "", reason)
        sub(/_packets_total/, "", reason)
        lost[reason] += sign * $5
        if (sign > 0) lost_ever[reason] += $5
    }
    next
}

$1 == "thread" { sign = FILENAME ~ /before$/ ? -1 : 1; ran[$2] += sign * $3; waited[$2] += sign * $4; next }
$1 == "cpu" { sign = FILENAME ~ /before$/ ? -1 : 1; softirq[$2] += sign * $3; ticks[$2] += sign * $4; if (sign > 0) cpu[++cpus] = $2; next }
$1 == "program" { sign = FILENAME ~ /before$/ ? -1 : 1; if (!($2 in runs)) program[++programs] = $2; spent[$2] += sign * $3; runs[$2] += sign * $4 }

END {
    line = "%-15s %-10s %-18s %12s %9s %9s %9s\n"
    printf line, "stage", "thread", "interface:queue", "packets", "CPU %", "ns/pkt", "wait %"
    for (t = 1; t <= threads; t++) {
        id = order[t]
        if (stage[id] ~ /capture/) count = packets("spillway_captured_packets_total", input[id], queue[id])
        else if (stage[id] ~ /worker/) count = packets("spillway_received_packets_total", input[id], queue[id])
        else count = all["spillway_delivered_packets_total"]
        where = input[id] == "-" ? "-" : (queue[id] == "-" ? input[id] : input[id] ":" queue[id])
        printf line, stage[id], name[id], where, count, sprintf("%.1f", ran[id] / seconds / 1e7), per(ran[id], count),
            sprintf("%.1f", waited[id] / seconds / 1e7)
        sum += ran[id]
    }
    printf line, "all", "", "", all["spillway_received_packets_total"], sprintf("%.1f", sum / seconds / 1e7),
        per(sum, all["spillway_received_packets_total"]), ""
    print ""
    for (p = 1; p <= programs; p++)
        printf "XDP program on %s: %d runs, %s ns each\n", program[p], runs[program[p]], per(spent[program[p]], runs[program[p]])
    for (c = 1; c <= cpus; c++)
        printf "softirq on CPU %s: %.1f %%\n", cpu[c], (ticks[cpu[c]] > 0 ? 100 * softirq[cpu[c]] / ticks[cpu[c]] : 0)
    printf "\n%-38s %14s %14s %14s\n", "packets", "in this time", "per second", "since start"
    count = split("captured received encoded delivered", key, " ")
    for (k = 1; k <= count; k++) {
        metric = "spillway_" key[k] "_packets_total"
        printf "%-38s %14.0f %14.0f %14.0f\n", key[k], all[metric], all[metric] / seconds, since_start[metric]
    }
    for (reason in lost_ever) if (lost_ever[reason] > 0) {
        split(reason, part, " ")
        printf "%-38s %14.0f %14.0f %14.0f\n", part[1] "{" part[2] "}", lost[reason], lost[reason] / seconds, lost_ever[reason]
    }
}
