"""Plots of the results: a script for gnuplot with its data in it, run once for PNG and once for SVG."""
import os
import shutil
import subprocess

# Who is drawn, in this order and colour, where it was measured. The servers without anything in between are so far ahead that
# beside them nothing else could be told apart.
COLOURS = (("floor", "#88aacc"), ("floor-unix", "#88aacc"), ("mcpool", "#cc5500"),
           ("mcpool-unix", "#cc5500"), ("haproxy", "#559955"), ("nginx", "#aacc88"), ("mcp-hub", "#998844"),
           ("mcp-proxy", "#aa9966"), ("supergateway", "#ccbb88"))
SESSIONS = (1, 32, 256)


class Panel:
    """One of the plots on the page: its commands, with data of its own under a name."""

    def __init__(self, name):
        self.name, self.lines = name, []

    def data(self, lines):
        self.lines += ["$%s << END" % self.name] + lines + ["END"]


def quoted(text):
    return '"%s"' % text.replace("\\", "").replace('"', "'")


def bars(name, title, rows, metric, log=False, form="%.0s%c"):
    """Bars for each target in each of the rows, with the lowest and the highest run; None without data."""
    shown = [row for row in rows if row]
    measured = {t["key"]: t["label"] for row in shown for t in row["targets"] if metric in t["medians"]}
    keys = [(key, colour) for key, colour in COLOURS if key in measured]
    if not keys:
        return None
    panel = Panel(name)
    lines = []
    for row in shown:
        medians = {t["key"]: t["medians"].get(metric) for t in row["targets"]}
        cells = [quoted(row["name"])]
        for key, _ in keys:
            m = medians.get(key)
            cells += ["%g %g %g" % (m["median"], m["min"], m["max"]) if m else "NaN NaN NaN"]
        lines.append(" ".join(cells))
    panel.data(lines)
    panel.lines += ["set title %s" % quoted(title), "set style data histogram", "set style histogram errorbars gap 1 lw 1",
                    "set style fill solid 0.9 border -1", "set xtics norotate scale 0", "set key outside right top",
                    "set logscale y" if log else "unset logscale", "set format y '%s'" % form, "set yrange [%s:*]" % ("*" if log else "0")]
    plots = []
    for i, (key, colour) in enumerate(keys):
        at = 3 * i + 2
        plots.append("$%s using %d:%d:%d:xtic(1) lc rgb %s title %s" % (
            panel.name, at, at + 1, at + 2, quoted(colour), quoted(measured[key])))
    panel.lines.append("plot " + ", ".join(plots))
    return panel


def targets(rows):
    """How much of each target is used: at 1 it is just reached, below it there is room."""
    lines = []
    for row in rows:
        for r in row["ratios"]:
            if "reached" in r:
                used = r["median"] / r["at_most"] if r["at_most"] is not None else r["at_least"] / r["median"]
                what = "%s, %s of %s" % (row["name"], r["heading"], r["of"]) + (" / %s" % r["to"] if r["to"] else "")
                lines.append("%s %g" % (quoted(what), max(used, 0)))
    if not lines:
        return None
    panel = Panel("targets")
    panel.data(lines)
    panel.lines += [
        'set title "Targets: reached left of the line"', "unset logscale", "set format y '%g'", "unset key", "set style fill solid 0.9 border -1",
        "set ytics scale 0", "set yrange [%d.5:-0.5] " % (len(lines) - 1), "set xrange [0:1.2<*]",
        'set arrow 1 from 1, graph 0 to 1, graph 1 nohead lw 2 lc rgb "#333333"',
        'plot $targets using (0.5*$2):0:(0.5*$2):(0.35):ytic(1) with boxxyerror lc rgb "#cc5500"', "unset arrow 1",
        "set xrange [*:*]", "unset ytics", "set ytics"]
    return panel


def panels(results):
    rows = {row["name"]: row for row in results["rows"]}

    def of(way):
        return [rows.get("%s-%d" % (way, count)) for count in SESSIONS]
    peers = results["options"]["peers"]
    found = [
        bars("http", "Calls a second, HTTP to stdio, by sessions", of("http"), "calls_per_second", peers),
        bars("unix", "Calls a second, unix socket to stdio, by sessions", of("unix"), "calls_per_second"),
        bars("http_cpu", "CPU a call in microseconds, HTTP to stdio", of("http"), "cpu_us_per_call", peers, "%g"),
        bars("unix_cpu", "CPU a call in microseconds, unix socket to stdio", of("unix"), "cpu_us_per_call", form="%g"),
        bars("memory", "Resident memory at rest", [rows.get("rest")], "rss_bytes", form="%.0b %BB"),
        targets(results["rows"])]
    return [panel for panel in found if panel]


def draw(results, folder):
    """Writes bench.gp, bench.png and bench.svg; returns the paths of the pictures, none where there is nothing to draw or
    nothing to draw with."""
    drawn = panels(results)
    if not drawn or not shutil.which("gnuplot"):
        return []
    os.makedirs(folder, exist_ok=True)
    rows = (len(drawn) + 1) // 2
    height = 420 * rows
    script = ["set multiplot layout %d,%d" % (rows, min(2, len(drawn))), "set grid ytics", "set encoding utf8"]
    for panel in drawn:
        script += panel.lines
    script.append("unset multiplot")
    path = os.path.join(folder, "bench.gp")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(script) + "\n")
    pictures = []
    for kind, terminal in (("png", "pngcairo size 1600,%d font 'DejaVu Sans,10'" % height),
                           ("svg", "svg size 1600,%d font 'DejaVu Sans,12'" % height)):
        picture = os.path.join(folder, "bench." + kind)
        begin = 'set terminal %s; set output "%s"' % (terminal, picture)
        if subprocess.call(["gnuplot", "-e", begin, path], timeout=60) == 0:
            pictures.append(picture)
    return pictures
