# Turns what `perf script -F comm,tid,ip,sym,dso` prints into one line for each different stack: thread;id;outermost;...;innermost N.
# Kernel functions get the ending _[k]. With leaf=1 only thread, id and the innermost function are kept.

function finish() {
    if (thread == "") return
    if (leaf) stack = depth ? frame[1] : "[unknown]"
    else {
        stack = ""
        for (i = depth; i > 0; i--) stack = stack (stack == "" ? "" : ";") frame[i]
    }
    count[thread ";" stack]++
    thread = ""
}

# A blank line ends a sample.
/^[ \t]*$/ { finish(); next }

# A frame: address, name, (object).
/^[ \t]+[0-9a-f]+ / {
    line = $0
    sub(/^[ \t]+[0-9a-f]+ /, "", line)
    object = line
    sub(/.*\(/, "", object)
    sub(/\)$/, "", object)
    sub(/ \([^()]*\)$/, "", line)
    gsub(/;/, ":", line)
    if (line == "[unknown]" && object != "[unknown]") { sub(/.*\//, "", object); line = "[" object "]" }
    # Kernel modules stand in brackets like the pages that the kernel gives every process to run.
    if (object ~ /^\[kernel|^\[[a-z0-9_]+\]$|^bpf_prog_|\.ko/ && object !~ /^\[(vdso|vsyscall|unknown|heap|stack)/) line = line "_[k]"
    frame[++depth] = line
    next
}

# The head of a sample: the thread's name, which may have blanks, and its id.
{
    finish()
    head = $0
    sub(/[ \t:]+$/, "", head)
    id = head
    sub(/.*[ \t]/, "", id)
    sub(/[ \t]+[0-9]+$/, "", head)
    sub(/^[ \t]+/, "", head)
    gsub(/;/, ":", head)
    thread = head ";" id
    depth = 0
}

END {
    finish()
    for (one in count) print one, count[one]
}
