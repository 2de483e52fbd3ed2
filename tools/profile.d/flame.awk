# Draws a flame graph, as SVG, from sorted lines "outermost;...;innermost N". Successive stacks share the boxes they have in common.

function escaped(text) {
    gsub(/&/, "\\&amp;", text)
    gsub(/</, "\\&lt;", text)
    gsub(/>/, "\\&gt;", text)
    gsub(/"/, "\\&quot;", text)
    return text
}

# The same name has the same colour everywhere, from its letters.
function colour(name, i, sum) {
    for (i = 1; i <= length(name); i++) sum = (sum * 31 + index(letters, substr(name, i, 1))) % 997
    if (name ~ /_\[k\]$/) return sprintf("rgb(%d,%d,%d)", 110 + sum % 50, 160 + sum % 60, 225)
    return sprintf("rgb(%d,%d,%d)", 215 + sum % 40, 90 + sum % 130, 50)
}

# Ends the boxes above a depth: they reach to here.
function close_above(least, d) {
    for (d = open; d > least; d--) { boxes++; box_name[boxes] = name[d]; box_depth[boxes] = d; box_from[boxes] = from[d]; box_to[boxes] = total }
    open = least
}

BEGIN { letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$.:<>()[]- " }

{
    samples = $NF
    sub(/ [0-9]+$/, "")
    depth = split($0, frame, ";")
    for (same = 0; same < open && same < depth && name[same + 1] == frame[same + 1]; same++) {}
    close_above(same)
    for (d = same + 1; d <= depth; d++) { name[d] = frame[d]; from[d] = total }
    open = depth
    if (depth > deepest) deepest = depth
    total += samples
}

END {
    close_above(0)
    width = 1200
    row = 17
    height = (deepest + 1) * row + 50
    printf "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"monospace\" font-size=\"12\">\n", width + 20, height, width + 20, height
    printf "<rect width=\"100%%\" height=\"100%%\" fill=\"#fffdf6\"/>\n<text x=\"10\" y=\"20\" font-size=\"15\">%s</text>\n", escaped(heading)
    boxes++
    box_name[boxes] = "all"
    box_to[boxes] = total
    for (b = boxes; b > 0; b--) {
        count = box_to[b] - box_from[b]
        wide = width * count / total
        # Nobody sees less than a fifth of a pixel.
        if (wide < 0.2) continue
        x = 10 + width * box_from[b] / total
        y = height - 10 - (box_depth[b] + 1) * row
        printf "<g><title>%s: %d samples, %.2f %%</title><rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\" stroke=\"#fffdf6\" stroke-width=\"0.5\"/>", escaped(box_name[b]), count, 100 * count / total, x, y, wide, row - 1, colour(box_name[b])
        fit = int((wide - 6) / 7.3)
        if (fit >= 3) {
            text = box_name[b]
            if (length(text) > fit) text = substr(text, 1, fit - 2) ".."
            printf "<text x=\"%.1f\" y=\"%d\">%s</text>", x + 3, y + 12, escaped(text)
        }
        printf "</g>\n"
    }
    printf "</svg>\n"
}
