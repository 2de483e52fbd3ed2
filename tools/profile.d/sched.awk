# Turns scheduler events of perf script into "id wait NANOSECONDS" for each time a thread had to wait for its CPU, and
# "id put-off 0 NAME" for each time it was put off its CPU while it still had work, by NAME. First file: the threads.

function field(key, value) {
    value = $0
    if (!sub(".* " key "=", "", value)) return ""
    return value
}

FNR == NR { chosen[$1] = 1; next }

{
    # Seconds with nanoseconds are too long for a number, so the seconds count from the first event.
    split($1, clock, /[.:]/)
    if (first == "") first = clock[1]
    now = (clock[1] - first) * 1e9 + clock[2]
}

/ sched:sched_waking: / {
    id = field("pid") + 0
    if ((id in chosen) && !(id in running) && !(id in since)) since[id] = now
}

/ sched:sched_switch: / {
    id = field("prev_pid") + 0
    if (id in chosen) {
        delete running[id]
        delete since[id]
        if (field("prev_state") ~ /^R/) {
            since[id] = now
            by = field("next_comm")
            sub(/ next_pid=.*/, "", by)
            gsub(/ /, "_", by)
            print id, "put-off", 0, by
        }
    }
    id = field("next_pid") + 0
    if (id in chosen) {
        if (id in since) printf "%d wait %.0f\n", id, now - since[id]
        delete since[id]
        running[id] = 1
    }
}
