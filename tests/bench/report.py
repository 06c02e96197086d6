"""The results of a row as they stand in the JSON, and the table that is printed of them."""
import statistics
import textwrap

WIDTH = 120
LABEL, COLUMN = 23, 24

# Unit -> (from this median on, divide by, suffix), the largest first.
SCALES = {
    "rate": ((1e6, 1e6, " M"), (1e4, 1e3, " k"), (0, 1, "")),
    "us": ((1e6, 1e6, " s"), (1e4, 1e3, " ms"), (0, 1, " µs")),
    "ms": ((1e4, 1e3, " s"), (0, 1, " ms")),
    "bytes": ((1 << 20, 1 << 20, " MiB"), (10 << 10, 1 << 10, " KiB"), (0, 1, " B")),
    "speed": ((1e9, 1e9, " GB/s"), (0, 1e6, " MB/s")),
}


# --- what stands in the JSON ---

def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def values_of(rounds, key, metric):
    """A target's values of a metric, of the rounds that have one."""
    return [r[key][metric] for r in rounds if key in r and r[key].get(metric) is not None]


def middle(values):
    return statistics.median(values) if values else None


def ratios_of(values, references):
    """Of the pairs that are complete and can be compared."""
    return [v / r for v, r in zip(values, references) if v is not None and r is not None and r > 0]


def row_results(row, targets, rounds, failed, absent):
    """A row in the JSON: all runs, their medians, and what was compared."""
    lines = []
    for target in targets:
        columns = {m.key: values_of(rounds, target.key, m.key) for m in row.metrics}
        lines.append({"key": target.key, "label": target.label,
                      "medians": {key: summary(values) for key, values in columns.items() if values},
                      "runs": [r.get(target.key) for r in rounds]})
    return {
        "name": row.name, "title": row.title, "note": row.note, "one_cpu": row.alone,
        "metrics": [{"key": m.key, "heading": m.heading, "unit": m.unit} for m in row.metrics],
        "targets": lines, "ratios": [r for r in (compared(ratio, rounds) for ratio in row.ratios) if r],
        "failed": failed, "absent": absent}


def compared(ratio, rounds):
    """A ratio, formed in each round of what was measured side by side; None where there is nothing to compare."""
    bound, to, key = getattr(ratio, "bound", None), getattr(ratio, "to", None), ratio.metric.key
    if bound is None and ratio.of_medians:
        found = ratios_of([middle(values_of(rounds, ratio.of, key))], [middle(values_of(rounds, to, key))])
    else:
        found = ratios_of([r.get(ratio.of, {}).get(key) for r in rounds],
                          [bound if bound is not None else r.get(to, {}).get(key) for r in rounds])
    if not found:
        return None
    result = {"metric": key, "heading": ratio.metric.heading, "unit": ratio.metric.unit, "of": ratio.of, "to": to,
              "bound": bound, "bound_text": getattr(ratio, "text", None),
              "at_most": ratio.at_most, "at_least": ratio.at_least, **summary(found)}
    if ratio.at_most is not None:
        result["reached"] = result["median"] <= ratio.at_most
    elif ratio.at_least is not None:
        result["reached"] = result["median"] >= ratio.at_least
    return result


# --- the table ---

def digits(x):
    """Three of them are more than the noise leaves."""
    if abs(x) >= 99.95:
        return format(round(x), ",")
    return "%.1f" % x if abs(x) >= 9.995 else "%.2f" % x


def scale(value, unit):
    """The divisor and the suffix for a value."""
    return next((by, suffix) for least, by, suffix in SCALES[unit] if abs(value) >= least)


def amount(value, unit):
    by, suffix = scale(value, unit)
    return digits(value / by) + suffix


def spread(s, unit=None):
    """The median, and the lowest and highest in brackets unless all are one."""
    by, suffix = 1, ""
    if unit:
        by, suffix = scale(s["median"], unit)
    text = digits(s["median"] / by) + suffix
    if s["min"] == s["max"]:
        return text
    return "%s (%s-%s)" % (text, digits(s["min"] / by), digits(s["max"] / by))


def row_table(row):
    title = row["title"] + (" (everything on one processor)" if row["one_cpu"] else "")
    lines = ["", "%s: %s" % (row["name"], title)]
    if row["note"]:
        lines.append("  " + row["note"])
    lines.append(" " * LABEL + "".join(m["heading"].ljust(COLUMN) for m in row["metrics"]).rstrip())
    for target in row["targets"]:
        if target["key"] in row["failed"] and not target["medians"]:
            continue
        cells = [spread(target["medians"][m["key"]], m["unit"]) if m["key"] in target["medians"] else "-"
                 for m in row["metrics"]]
        lines.append((target["label"].ljust(LABEL) + "".join(cell.ljust(COLUMN) for cell in cells)).rstrip())
    lines += [clipped("  %s could not be measured: %s" % failed) for failed in sorted(row["failed"].items())]
    lines += [clipped("  " + ratio_line(r)) for r in row["ratios"]]
    if row["absent"]:
        lines.append(clipped("  not here: " + ", ".join(row["absent"])))
    return lines


def clipped(line):
    return line if len(line) <= WIDTH else line[:WIDTH - 3] + "..."


def reference_of(r):
    if r["bound"] is None:
        return r["to"]
    return amount(r["bound"], r["unit"]) + (" (%s)" % r["bound_text"] if r["bound_text"] else "")


def target_of(r):
    return "at most %s" % digits(r["at_most"]) if r["at_most"] is not None else "at least %s" % digits(r["at_least"])


def verdict(r):
    return "reached" if r["reached"] else "not reached"


def ratio_line(r):
    times = "times" if r["median"] >= 10 else "of"
    line = "%s: %s is %s %s %s" % (r["heading"], r["of"], spread(r), times, reference_of(r))
    return line + ("; target: %s, %s" % (target_of(r), verdict(r)) if "reached" in r else "")


def targets_table(rows):
    """All ratios that have a target, once more in one place."""
    form = "%-15s%-53s%-22s%-16s%s"
    lines = []
    for row in rows:
        for r in row["ratios"]:
            if "reached" in r:
                what = "%s: %s / %s" % (r["heading"], r["of"], reference_of(r))
                lines.append(clipped((form % (row["name"], what, spread(r), target_of(r), verdict(r))).rstrip()))
    if not lines:
        return []
    return ["", "Targets, as ratios within this run:", (form % ("row", "what", "ratio", "target", "")).rstrip()] + lines


def head(results):
    m, v, o = results["machine"], results["versions"], results["options"]
    busy = m["load_average"][0] > 0.5 * m["cpus"]
    said = [
        "%s, %d processors%s, Linux %s; load average before: %s%s" % (
            m["cpu"], m["cpus"], " (virtual)" if m["virtual"] else "", m["kernel"], m["load_average"][0],
            " (others are at work here: it will scatter)" if busy else ""),
        ", ".join(sorted("%s %s" % (k, short(k, text)) for k, text in v.items())),
        "%d interleaved run%s of each on processor%s %s: the median, in brackets the lowest and the highest. Ratios are formed in "
        "each round, of what was measured side by side; only they can be carried over to other machines."
        % (o["runs"], "" if o["runs"] == 1 else "s", "" if len(o["cpus"]) == 1 else "s", ",".join(map(str, o["cpus"])))]
    return [line for paragraph in said for line in textwrap.wrap(paragraph, WIDTH)]


def short(name, text):
    """The version in what a program says of itself."""
    words = [word.split("/")[-1] for word in text.split() if any(c.isdigit() for c in word)]
    return words[0] if words and name != "commit" else text


def table(results):
    lines = head(results)
    for row in results["rows"]:
        lines += row_table(row)
    lines += targets_table(results["rows"])
    return "\n".join(lines) + "\n"
