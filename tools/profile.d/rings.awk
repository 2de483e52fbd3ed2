# One line for each queue, out of two looks at everything that counts (profile.d/rings.sh).

FNR == NR { old[$1, $2, $3] = $4; next }
$1 == "clock" { seconds = ($4 - old[$1, $2, $3]) / 1e6; next }

{
    change = $4 - old[$1, $2, $3]
    if ($1 == "queue") {
        if (!($2 in seen)) { order[++queues] = $2; seen[$2] = 1 }
        if ($3 == "captured") { captured[$2] = change; ring[$2] += $4 }
        if ($3 == "received") { received[$2] = change; ring[$2] -= $4 }
        # What is lost between capture and worker is in neither; a full pool comes after them.
        if ($3 ~ /^dropped/ && $3 != "dropped{pool_full}") ring[$2] -= $4
        if ($3 ~ /^dropped/ && change) lost[$2] = lost[$2] sprintf("  %s %d", $3, change)
    }
    if ($1 == "destination" && change) other = other sprintf("  %s: %s %d", $2, $3, change)
    if ($1 == "driver" && change) other = other sprintf("  %s: %s %d", $2, $3, change)
}

END {
    for (q = 1; q <= queues; q++) {
        where = order[q]
        printf "%-8s  %-18s %12.0f %12.0f %9.0f%s\n", time, where, captured[where] / seconds, received[where] / seconds,
            (ring[where] > 0 ? ring[where] : 0), lost[where]
    }
    if (other != "") printf "%8s%s\n", "", other
}
