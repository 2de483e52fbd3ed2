# shellcheck shell=bash disable=SC2034,SC2154
uses=''

explain() {
    cat <<'END'
tools/profile rings [-p PID] [-d SECONDS] [-n LINES] [-m ADDR:PORT]

Once a second (-d), for every interface and queue: packets captured and received per second, packets between both (in
ring), and every loss since the line before, by its name. Where something at the driver or the kernel's receive path moved
that should not (drops, misses, errors, XDP), it stands in a line of its own. The totals since the start of the run end it.

  fill_ring_empty, rx_ring_full   capture came too late: 'tools/profile sched', more queues
  ring                            the worker is too slow: 'tools/profile stages', a CPU of its own
  pool_full, destination_dropped  the destinations are too slow, or --memory is too small
  softnet time_squeeze            the kernel's receive budget was used up: net.core.netdev_budget, more queues
END
}

interfaces() { awk '$4 != "-" && $4 != "file" { print $4 }' "$work/all" | sort -u; }

# Everything that counts, as "KIND WHERE NAME VALUE".
look() {
    local name
    fetch >"$work/now" || return
    printf 'clock - - %s\n' "${EPOCHREALTIME//[!0-9]/}"
    awk '
        function label(key) { return match($0, "[{,]" key "=\"[^\"]*\"") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 4) : "-" }
        /^spillway_(captured|received|passed|unmatched|other_queue|dropped|filtered)_packets_total/ {
            name = $1
            sub(/[{].*/, "", name)
            sub(/^spillway_/, "", name)
            sub(/(_packets)?_total$/, "", name)
            if (label("reason") != "-") name = name "{" label("reason") "}"
            print "queue", label("queue") == "-" ? label("input") : label("input") ":" label("queue"), name, $NF
        }
        /^spillway_destination_dropped_packets_total/ { print "destination", label("destination"), "destination_dropped{" label("reason") "}", $NF }' "$work/now"
    for name in $(interfaces); do
        { inside ethtool -S "$name" 2>/dev/null || true; } | awk -v name="$name" -F ': *' '
            tolower($1) ~ /xdp|xsk|drop|miss|err|discard|full|no_buf|timeout|alloc_fail/ && $2 ~ /^[0-9]+$/ {
                gsub(/^[ \t]+|[ \t]+$/, "", $1); gsub(/ /, "_", $1); print "driver", name, $1, $2 }'
        # Of the kernel's own statistics only what tells of losses.
        inside ip -s -s link show dev "$name" 2>/dev/null | awk -v name="$name" '
            wanted { for (i = 1; i <= n; i++) if (key[i] ~ /^(errors|dropped|missed|overrun|fifo|crc)$/) print "driver", name, direction "_" key[i], $i; wanted = 0 }
            /RX:|RX errors:|TX:|TX errors:/ { direction = tolower(substr($1, 1, 2)); sub(/.*:/, ""); n = split($0, key, " "); wanted = 1 }'
    done
    # The table has hexadecimal numbers; a line belongs to the CPU in column 13.
    local -a column
    while read -r -a column; do
        printf 'driver softnet cpu%d_dropped %d\n' "0x${column[12]:-0}" "0x${column[1]}"
        printf 'driver softnet cpu%d_time_squeeze %d\n' "0x${column[12]:-0}" "0x${column[2]}"
    done </proc/net/softnet_stat
}

driver_of() { { inside ethtool -i "$1" 2>/dev/null || true; } | sed -n 's/^driver: //p'; }

program_of() {
    local program
    program=$({ inside ip -d link show dev "$1" 2>/dev/null || true; } |
        sed -n 's/.*prog\/xdp id \([0-9]*\) name \([^ ]*\).*/program \2 (id \1)/p')
    printf '%s' "${program:-no program}"
}

# What the rings are, once.
describe() {
    local name sockets
    for name in $(interfaces); do
        printf '%s: driver %s; XDP %s\n' "$name" "$(driver_of "$name")" \
            "$(program_of "$name")"
        { inside ethtool -g "$name" 2>/dev/null || true; } | awk '/^Current/ { now = 1 } now && /^RX:/ { print "  receive ring of the NIC:", $2 }'
    done
    # Only a kernel with CONFIG_XDP_SOCKETS_DIAG tells.
    sockets=$(inside ss -H --xdp -a -e 2>/dev/null) || true
    if [ -n "$sockets" ]; then printf '%s\n' "$sockets" | sed 's/^/  /'; else touch "$work/no-diag"; fi
    printf '\n'
}

profile() {
    local line=0
    needs_metrics
    title "Rings, every ${duration:-1} s"
    describe
    look >"$work/old" || fail 69 "no metrics at $metrics: $(cat "$work/curl")"
    printf '%-8s  %-18s %12s %12s %9s  %s\n' time interface:queue captured/s received/s 'in ring' 'lost since the line before'
    while [ "$lines" -eq 0 ] || [ $line -lt "$lines" ]; do
        sleep "${duration:-1}"
        if ! look >"$work/new" 2>/dev/null; then
            note "the run has ended"
            break
        fi
        awk -v time="$(date +%H:%M:%S)" -f "$parts/rings.awk" "$work/old" "$work/new"
        mv "$work/new" "$work/old"
        line=$((line + 1))
    done
    printf '\nSince start:\n'
    awk '
        ($1 == "queue" || $1 == "destination") && ($3 ~ /^(captured|received)$/ || $4 > 0) { printf "  %-18s %-34s %14.0f\n", $2, $3, $4 }' "$work/old"
    if [ -e "$work/no-diag" ] && [ -n "$(interfaces)" ]; then
        left_out "sizes and memory of the AF_XDP rings: 'ss --xdp' shows none (kernel without CONFIG_XDP_SOCKETS_DIAG, or no
AF_XDP). Their losses are all above, for the process itself reads XDP_STATISTICS."
    fi
}
