# What the commands of tools/profile share: the process, its metrics, its threads, and perf.
# shellcheck shell=bash disable=SC2154

fail() {
    printf 'profile: %s\n' "$2" >&2
    exit "$1"
}

note() { printf 'profile: %s\n' "$*" >&2; }

# What a figure is not, behind the figures.
left_out() { printf '\nLeft out: %s\n' "$*"; }

# A whole number, not below the least one.
whole() {
    if ! [[ $2 =~ ^[0-9]{1,10}$ ]] || [ "$2" -lt "$3" ]; then fail 64 "$1 $2: a whole number from $3 on is needed"; fi
    printf '%d' "$((10#$2))"
}

# A list of CPUs that are there, such as 0-3,5: `cpu_list OPTION VALUE`.
cpu_list() {
    [[ $2 =~ ^[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*$ ]] || fail 64 "$1 $2: a list of CPUs such as 0-3,5 is needed"
    local missing
    missing=$(awk -v online="$(cat /sys/devices/system/cpu/online)" -v wanted="$2" '
        function spread(list, set,    parts, ends, count, one, cpu) {
            count = split(list, parts, ",")
            for (one = 1; one <= count; one++) {
                if (split(parts[one], ends, "-") == 1) ends[2] = ends[1]
                for (cpu = ends[1] + 0; cpu <= ends[2]; cpu++) set[cpu] = 1
            }
        }
        BEGIN {
            spread(online, there)
            spread(wanted, asked)
            for (cpu in asked) if (!(cpu in there)) { print cpu; exit }
        }')
    [ -z "$missing" ] || fail 66 "$1 $2: there is no CPU $missing"
    printf '%s' "$2"
}

needs() { command -v "$1" >/dev/null || fail 69 "the program '$1' is missing; on Debian: apt-get install $2"; }

# ---- the process ----------------------------------------------------------------------------------------------------

# Words of a process's command line, one per line.
words() { tr '\0' '\n' <"/proc/$1/cmdline"; }

find_process() {
    local found=() one
    if [ -z "$pid" ]; then
        for one in $(pgrep -x spillway || true); do
            if [ "$(words "$one" 2>/dev/null | sed -n 2p)" = run ]; then found+=("$one"); fi
        done
        case ${#found[@]} in
        1) pid=${found[0]} ;;
        0) fail 66 "no 'spillway run' is running; name the process with --pid" ;;
        *)
            for one in "${found[@]}"; do note "$one: $(words "$one" | tr '\n' ' ')"; done
            fail 66 "${#found[@]} 'spillway run' are running; choose one with --pid"
            ;;
        esac
    fi
    [ -d "/proc/$pid" ] || fail 66 "there is no process $pid"
    readlink "/proc/$pid/exe" >/dev/null ||
        fail 77 "process $pid belongs to $(stat -c %U "/proc/$pid"); run this as that user or as root"
}

# Runs a program in the network namespace of the process.
inside() {
    if [ "$(readlink "/proc/$pid/ns/net")" = "$(readlink /proc/self/ns/net)" ]; then
        "$@"
    else
        nsenter --net="/proc/$pid/ns/net" "$@" || return
    fi
}

# ---- metrics --------------------------------------------------------------------------------------------------------

# Where the metrics are. The port in the command line may be 0, so the socket decides.
find_metrics() {
    local given=$metrics
    if [ -z "$metrics" ]; then
        metrics=$(words "$pid" | awk 'last == "--metrics" { print; exit } sub(/^--metrics=/, "") { print; exit } { last = $0 }')
    fi
    [ -n "$metrics" ] || metrics=$(tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | sed -n 's/^SPILLWAY_METRICS=//p')
    [ -n "$metrics" ] || return 0
    needs curl curl
    fetch >"$work/first" && return
    [ -z "$given" ] || fail 69 "no metrics at $metrics: $(cat "$work/curl")"
    note "no metrics at $metrics ($(cat "$work/curl")); name the address with --metrics"
    metrics=''
}

# The metrics as they are now.
fetch() { inside curl -sS --max-time 5 "http://$metrics/metrics" 2>"$work/curl"; }

needs_metrics() {
    [ -n "$metrics" ] ||
        fail 69 "packets are counted in the metrics: start the run with --metrics 127.0.0.1:9100, or say where with --metrics"
}

# ---- threads --------------------------------------------------------------------------------------------------------

# Writes $work/threads, a line for each thread that was chosen: id, name, stage, interface, queue.
find_threads() {
    local task name
    for task in /proc/"$pid"/task/*; do
        name=$(cat "$task/comm" 2>/dev/null) || continue
        # The main thread has the program's name; it controls the others.
        if [ "${task##*/}" = "$pid" ]; then name=control; fi
        printf '%s %s\n' "${task##*/}" "$name"
    done >"$work/names"
    if [ -z "$metrics" ]; then : >"$work/first"; fi
    awk '
        function label(key) { return match($0, key "=\"[^\"]*\"") ? substr($0, RSTART + length(key) + 2, RLENGTH - length(key) - 3) : "-" }
        FILENAME ~ /first$/ {
            if (/^spillway_thread_info[{]/) { where[label("thread")] = label("stage") " " label("input") " " label("queue") }
            next
        }
        {
            stage = $2
            sub(/-[0-9]+$/, "", stage)
            print $1, $2, ($2 in where) ? where[$2] : stage " - -"
        }' "$work/first" "$work/names" | in_order >"$work/all"
    awk -v chosen="${threads:-capture,worker,egress,file}" '
        BEGIN { count = split(chosen, list, ",") }
        {
            hit = 0
            for (i = 1; i <= count; i++) {
                word = list[i]
                if (word == "all" || word == $2 || word == $4 || word == $4 ":" $5 || index("+" $3 "+", "+" word "+")) { hit = 1; found[i] = 1 }
            }
            if (hit) print
        }
        END { for (i = 1; i <= count; i++) if (!found[i]) print list[i] >"/dev/stderr" }' \
        "$work/all" 2>"$work/unknown" >"$work/threads"
    [ -z "$threads" ] || [ ! -s "$work/unknown" ] ||
        fail 66 "no thread of process $pid is '$(head -n 1 "$work/unknown")'; 'tools/profile threads' shows what there is"
    [ -s "$work/threads" ] || fail 66 "process $pid has no threads named capture, worker or egress; is it a 'spillway run'?"
}

# In the order of the packets' path, and then of the threads' numbers.
in_order() {
    awk '{
        rank = index(" capture capture+worker worker egress file", " " $3)
        number = $2
        sub(/.*-/, "", number)
        print (rank ? rank : 99), number + 0, $0
    }' | LC_ALL=C sort -k 2,2n -k 1,1n | LC_ALL=C sort -s -k 1,1n | cut -d ' ' -f 3-
}

# The chosen threads' ids, separated by commas.
thread_ids() { cut -d ' ' -f 1 "$work/threads" | paste -s -d ,; }

# What a thread is, in the columns that every table begins with.
thread_column() { awk '{ printf "%s %-10s %s\n", $1, $2, $4 == "-" ? "-" : ($5 == "-" ? $4 : $4 ":" $5) }' "$work/threads"; }

title() { printf '%s, process %s (%s), %s\n\n' "$1" "$pid" "$(readlink "/proc/$pid/exe")" "$(date '+%Y-%m-%d %H:%M:%S')"; }

# ---- perf -----------------------------------------------------------------------------------------------------------

needs_perf() { needs perf linux-perf; }

# Runs perf; what it says goes to a file and is shown only if it fails.
run_perf() {
    local status=0
    perf "$@" >"$work/perf.out" 2>"$work/perf.log" || status=$?
    # SIGINT ends a recording early, and what is there is still good.
    [ $status -eq 0 ] && return
    if grep -qiE 'permission|not permitted|paranoid|access' "$work/perf.log"; then
        fail 77 "perf may not look at process $pid; run this as root (kernel.perf_event_paranoid is $(cat /proc/sys/kernel/perf_event_paranoid))"
    fi
    [ -d "/proc/$pid" ] || fail 66 "process $pid has ended"
    sed 's/^/  /' "$work/perf.log" >&2
    fail 70 "perf $1 ended with $status"
}

# Whether the machine counts cycles. Virtual machines often do not.
counts_cycles() {
    perf stat -x , -e cycles -- true >/dev/null 2>"$work/cycles" || true
    ! grep -q -e '<not supported>' -e '<not counted>' "$work/cycles" && grep -q cycles "$work/cycles"
}

# Samples what was chosen into $work/data: threads, or everything on some CPUs.
sample() {
    local event=cycles what
    counts_cycles || event=cpu-clock
    if [ -n "$cpus" ]; then what=(-a -C "$cpus"); else what=(-t "$(thread_ids)"); fi
    run_perf record -q -o "$work/data" -e "$event" -F "$frequency" -g "${what[@]}" -- sleep "${duration:-5}"
    if [ $event = cpu-clock ]; then touch "$work/no-cycles"; fi
}

say_what_sampling_leaves_out() {
    if [ -e "$work/no-cycles" ]; then
        left_out "this machine has no hardware counters, so a timer takes the samples (cpu-clock). Kernel code that runs with
interrupts disabled is seen only where it enables them again: finish_task_switch and _raw_spin_unlock_irq stand for
what came before them. Precise (skid-free) places are not to be had either."
    fi
    # perf marks what it was only allowed to see of the program itself.
    if perf evlist -i "$work/data" 2>/dev/null | grep -q ':[a-z]*u'; then
        left_out "the kernel's functions: only root may see them (kernel.perf_event_paranoid is $(cat /proc/sys/kernel/perf_event_paranoid))."
    fi
    if [ -z "$cpus" ]; then
        left_out "what the kernel does for these packets outside these threads (driver, XDP program, TCP input); --cpus shows it."
    fi
}

# Names as people write them, where the Swift toolchain is there to say them.
demangled() { if command -v swift-demangle >/dev/null; then swift-demangle --simplified; else cat; fi; }
