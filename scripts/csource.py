"""What the source checkers share: finding C files, and blanking comments and strings in them."""

import os
import re

# Line comments, block comments, string and character literals; escapes inside literals are skipped over.
_NOISE = re.compile(r'//(?:\\\n|[^\n])*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)


def files(root, tops, endings=(".c", ".h")):
    """Paths of all C files below root/<top> for each top, relative to root, sorted."""
    found = []
    for top in tops:
        for folder, below, names in os.walk(os.path.join(root, top)):
            below[:] = [b for b in below if b != "node_modules"]
            found += [os.path.relpath(os.path.join(folder, n), root) for n in names if n.endswith(endings)]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def blank(text, keep_includes=False):
    """The text with comments and literals replaced by spaces; line numbers stay true."""

    def spaces(m):
        if keep_includes and m.group().startswith('"'):
            start = text.rfind("\n", 0, m.start()) + 1
            if re.match(r"[ \t]*#[ \t]*include[ \t]*$", text[start : m.start()]):
                return m.group()
        return re.sub(r"[^\n]", " ", m.group())

    return _NOISE.sub(spaces, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def includes(text):
    """(line, name, is_system) of each include directive outside comments."""
    code = blank(text, keep_includes=True)
    return [(line_of(code, m.start()), m.group(2), m.group(1) == "<") for m in _INCLUDE.finditer(code)]


def calls(text, names):
    """(line, name) of each call of, or reference to, one of the functions; members (a.x, a->x) do not count."""
    code = blank(text)
    pattern = re.compile(r"(?<![\w.])(?<!->)(" + "|".join(map(re.escape, names)) + r")\s*\(")
    return [(line_of(code, m.start()), m.group(1)) for m in pattern.finditer(code)]
