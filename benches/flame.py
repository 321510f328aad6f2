#!/usr/bin/env python3
"""Draws where a program's time goes: what `perf script` prints, as a flame graph in one SVG.

    perf script --no-inline -F comm,tid,ip,sym,dso | benches/flame.py --title TEXT [--thread NAME]… > GRAPH.svg

A box is a function, as wide as its share of the samples, upon the one that called it; a pointer upon it says its whole name
and its share. The lowest boxes are threads by name, only those that begin with a NAME where one is given. Left out are
what is narrower than --least per cent (0.3), what only wraps other functions (WRAPPERS below), whose own time is their callers',
and what all samples of a thread begin with. Reads nothing but its input, and needs nothing but Python.
"""

import argparse
import re
import sys
from html import escape

WIDTH = 1200
ROW = 17
MARGIN = 8
# Of a line of text; a letter is about this wide.
HEADING = 38
LETTER = 6.2

TINTS = {"thread": "#d8d8d8", "user": "#f6c177", "kernel": "#8fb8de"}

# Rust's own wrappers, how tokio runs a task, and how a thread begins; and where the way up a stack was lost.
WRAPPERS = ("core::", "alloc::", "std::", "<core::", "<alloc::", "<std::", "<&", "tokio::runtime::task::")
WRAPPERS += ("tokio::runtime::scheduler::multi_thread::worker::", "tokio::runtime::blocking::", "tokio_util::task::")
WRAPPERS += ("tokio::task::", "start_thread", "clone3", "[unknown]")


class Frame:
    """A function upon its callers, and the samples in it and in what it called."""

    def __init__(self, name, kind):
        self.name, self.kind, self.samples, self.callees = name, kind, 0, {}

    def callee(self, name, kind):
        return self.callees.setdefault((name, kind), Frame(name, kind))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--title", required=True)
    parser.add_argument("--thread", action="append", default=[])
    parser.add_argument("--least", type=float, default=0.3)
    asked = parser.parse_args()
    everything = Frame("all", "thread")
    for thread, stack in samples(sys.stdin):
        if asked.thread and not thread.startswith(tuple(asked.thread)):
            continue
        add(everything, thread, stack)
    if everything.samples == 0:
        sys.exit("no sample of such a thread")
    for thread in everything.callees.values():
        skip_what_all_share(thread)
    draw(everything, asked.title, asked.least / 100)


def samples(lines):
    """Each sample's thread, and its stack from the outermost function to the innermost."""
    thread, stack = None, []
    for line in lines:
        if not line.strip():
            if thread is not None:
                yield thread, stack[::-1]
            thread, stack = None, []
        elif thread is None:
            thread = re.sub(r"\s+[\d/]+\s*$", "", line.strip())
        elif match := re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)$", line.rstrip()):
            stack.append((readable(match[1]), kind_of(match[2])))
    if thread is not None:
        yield thread, stack[::-1]


def kind_of(binary):
    in_kernel = binary.startswith("[") and binary not in ("[vdso]", "[unknown]")
    return "kernel" if in_kernel or re.search(r"\.ko(\.\w+)?$", binary) else "user"


def readable(symbol):
    """A function's name without its offset, its hash, and the parameters of types."""
    symbol = re.sub(r"\+0x[0-9a-f]+$", "", symbol)
    symbol = re.sub(r"::h[0-9a-f]{16}$", "", symbol)
    symbol = re.sub(r"(\.llvm\.\d+|\.isra\.\d+|\.constprop\.\d+|\.cold)+$", "", symbol)
    # Innermost first; `<A as B>::f` is A's f.
    while (shorter := re.sub(r"(?<=[\w:])<[^<>]*>(?!::\w)|(?<=\w)::<[^<>]*>", "", symbol)) != symbol:
        symbol = shorter
    symbol = re.sub(r"<([^<>]+) as [^<>]+>", r"\1", symbol)
    return re.sub(r"(::)?\{\{?closure\}?\}(#\d+)?", "", symbol).replace("{closure#0}", "")


def add(everything, thread, stack):
    everything.samples += 1
    frame = everything.callee(thread, "thread")
    frame.samples += 1
    for name, kind in stack:
        if kind == "user" and name.startswith(WRAPPERS) or (name, kind) == (frame.name, frame.kind):
            continue
        frame = frame.callee(name, kind)
        frame.samples += 1


def skip_what_all_share(thread):
    """Puts what a thread begins with upon the thread itself, for as long as it is nearly all of it."""
    while thread.callees:
        most = max(thread.callees.values(), key=lambda callee: callee.samples)
        if most.samples < 0.97 * thread.samples or not most.callees:
            return
        del thread.callees[(most.name, most.kind)]
        for key, callee in most.callees.items():
            known = thread.callees.setdefault(key, callee)
            if known is not callee:
                merge(known, callee)


def merge(into, other):
    into.samples += other.samples
    for key, callee in other.callees.items():
        known = into.callees.setdefault(key, callee)
        if known is not callee:
            merge(known, callee)


def draw(everything, title, least):
    boxes = list(laid_out(everything, 0, 0, everything.samples * least))
    rows = 1 + max(row for _, row, _ in boxes)
    height = HEADING + rows * ROW + MARGIN
    scale = (WIDTH - 2 * MARGIN) / everything.samples
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">')
    tints = "".join(f".{kind[0]}{{fill:{tint}}}" for kind, tint in TINTS.items())
    print(f"<style>{tints}rect{{stroke:#fff;stroke-width:.6}}</style>")
    print(f'<path fill="#fff" d="M0 0h{WIDTH}v{height}H0z"/>')
    print(f'<text x="{MARGIN}" y="16" font-size="14">{escape(title)}</text>')
    print(f'<text x="{MARGIN}" y="31">{everything.samples} samples; blue is the kernel</text>')
    for frame, row, start in boxes:
        left, top = MARGIN + start * scale, HEADING + (rows - 1 - row) * ROW
        width, share = frame.samples * scale, 100 * frame.samples / everything.samples
        print(f'<g><title>{escape(frame.name)}: {share:.1f} %</title>', end="")
        print(f'<rect class="{frame.kind[0]}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW}"/>', end="")
        label = shortened(f"{frame.name} {share:.1f} %" if width > 150 else frame.name, int((width - 4) / LETTER))
        if label:
            print(f'<text x="{left + 2:.1f}" y="{top + 12}">{escape(label)}</text>', end="")
        print("</g>")
    print("</svg>")


def laid_out(frame, row, start, least):
    """Boxes with their row and the number of samples left of them; callees by name, so that graphs can be compared."""
    for callee in sorted(frame.callees.values(), key=lambda callee: (callee.kind, callee.name)):
        if callee.samples >= least:
            yield callee, row, start
            yield from laid_out(callee, row + 1, start, least)
            start += callee.samples


def shortened(name, letters):
    """As much of the end of a path as fits: `a::b::c` is `b::c` or `c`."""
    if letters < 4:
        return ""
    while len(name) > letters and "::" in name:
        name = name.split("::", 1)[1]
    return name if len(name) <= letters else name[: letters - 1] + "…"


main()
