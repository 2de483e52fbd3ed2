# shellcheck shell=bash disable=SC2034,SC2154
uses='--threads'

explain() {
    cat <<'END'
tools/profile threads [-p PID] [-t LIST]

Which thread does what: its id (as top -H and perf show it), name, stage, interface and queue, the CPUs it may use, the
CPU it was last on, its scheduling policy, and its CPU time since start.
Interface and queue are known only if the run serves metrics. Without --threads all threads are shown.
END
}

profile() {
    local id name stage interface queue
    if [ -z "$threads" ]; then cp "$work/all" "$work/threads"; fi
    title "Threads"
    printf '%8s  %-10s %-15s %-12s %5s  %-10s %4s %-7s %12s\n' id thread stage interface queue 'may use' on policy 'CPU s'
    while read -r id name stage interface queue; do
        printf '%8s  %-10s %-15s %-12s %5s  %-10s %4s %-7s %12s\n' "$id" "$name" "$stage" "$interface" "$queue" \
            "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "/proc/$pid/task/$id/status")" \
            "$(sed 's/.*) //' "/proc/$pid/task/$id/stat" | cut -d ' ' -f 37)" "$(policy "$id")" \
            "$(awk '{ printf "%.3f", $1 / 1e9 }' "/proc/$pid/task/$id/schedstat")"
    done <"$work/threads" 2>/dev/null
    if [ -z "$metrics" ]; then left_out "interface and queue, because the run serves no metrics (--metrics)."; fi
}

policy() {
    case $(sed 's/.*) //' "/proc/$pid/task/$1/stat" | cut -d ' ' -f 39) in
    0) echo other ;; 1) echo fifo ;; 2) echo rr ;; 3) echo batch ;; 5) echo idle ;; 6) echo deadl. ;; *) echo - ;;
    esac
}
