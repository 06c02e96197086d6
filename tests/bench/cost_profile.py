"""What callgrind wrote: the cost of each function by itself, without those that it calls."""
import collections
import os
import re

NAMED = re.compile(r"^(c?)(ob|fl|fi|fe|fn)=(?:\((\d+)\))?(?: ?(.+))?$")
COST = re.compile(r"^(?:[+-]?\d+|\*)(?: (\d+))?")
CLONE = re.compile(r"\.(?:part|isra|constprop|cold|lto_priv)\.?\d*")  # what the compiler split off is the function still

MARKS = ("bench/cost_marks.c", "cost-marks.so")  # what measuring itself costs

Function = collections.namedtuple("Function", "name file")


def short(path):
    """As in the source tree: the folder and the file."""
    return "/".join(path.split("/")[-2:])


class Profile:
    """cost[function]: its own instructions. count[function]: how often it was called."""

    def __init__(self, path):
        self.cost, self.count = collections.Counter(), collections.Counter()
        self._names = {"fn": {}, "file": {}, "ob": {}}
        with open(path, encoding="utf-8", errors="replace") as f:
            self._read(f)
        for function in [f for f in self.cost if f.file in MARKS]:
            del self.cost[function]
        self.total = sum(self.cost.values())

    def _name(self, kind, number, text):
        """A name stands in full once, with a number that means it from there on."""
        if number is None:
            return text or ""
        if text is not None:
            self._names[kind][number] = text
        return self._names[kind][number]

    def _read(self, lines):
        here, called, of_call, place = None, None, False, {"ob": "", "fl": ""}
        declared = None
        for line in lines:
            line = line.rstrip("\n")
            m = NAMED.match(line)
            if m:
                calls, what, number, text = m.groups()
                name = self._name(what if what in ("fn", "ob") else "file", number, text)
                if what == "fn" and calls:
                    called = CLONE.sub("", name)
                elif what == "fn":
                    # Of libraries without debugging information there is the library.
                    known = place["fl"] not in ("", "???")
                    here = Function(CLONE.sub("", name), short(place["fl"]) if known else os.path.basename(place["ob"]))
                elif what in place and not calls:
                    place[what] = name
            elif line.startswith("calls="):
                self.count[called] += int(line[6:].split()[0])
                of_call = True  # the next line is the cost of what was called
            elif line.startswith("events: "):
                if line != "events: Ir":
                    raise ValueError("this profile counts other things than instructions: " + line)
            elif line.startswith("totals: "):
                declared = int(line.split()[1])
            else:
                m = COST.match(line)
                if m and not of_call and m.group(1):
                    self.cost[here] += int(m.group(1))
                if m:
                    of_call = False
        if declared is None or declared != sum(self.cost.values()):
            raise ValueError("the costs of the functions are %d together, and callgrind says %s" %
                             (sum(self.cost.values()), declared))


def print_top(profile, calls, count=20):
    """The functions that cost most, by themselves; what a call is to them."""
    print("    %12s %7s %10s  %s" % ("instructions", "share", "times", "function, of which a call takes so much by itself"))
    for function, cost in profile.cost.most_common(count):
        print("    %12.1f %5.1f %% %10.2f  %s (%s)" % (
            cost / calls, 100 * cost / profile.total, profile.count[function.name] / calls, function.name, function.file))


def print_difference(a, b, calls_a, calls_b, count=30):
    """Where two profiles differ, most first; both in instructions a call."""
    def each(profile, calls):
        return {f: cost / calls for f, cost in profile.cost.items()}
    one, two = each(a, calls_a), each(b, calls_b)
    differences = {f: two.get(f, 0) - one.get(f, 0) for f in {*one, *two}}
    print("    %10s %10s %10s  %s" % ("A", "B", "B - A", "function"))
    for f in sorted(differences, key=lambda f: (-abs(differences[f]), f))[:count]:
        if abs(differences[f]) >= 0.5:
            print("    %10.1f %10.1f %+10.1f  %s (%s)" % (one.get(f, 0), two.get(f, 0), differences[f], f.name, f.file))
