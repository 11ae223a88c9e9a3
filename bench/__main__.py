"""Side by side with Debian's docker.io: both engines up at once, each in a namespace of its own, measured in turns.

`python -m bench [NAME …]` measures the named metrics, all without a name, prints ratios of medians, and with
`--write` keeps them in docs/benchmarks.md. Load is bounded; both engines are gone at the end.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import images, logs, storage, tls, volumes
from bench.metrics import TABLE, Metric
from tests.harness.engine import Engine

PAGE = Path("docs/benchmarks.md")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    known = [each.name for each in (*TABLE, *logs.TABLE, *storage.TABLE, *volumes.TABLE, *logs.JOURNALS, *tls.TABLE)]
    parser.add_argument("names", nargs="*", choices=[[], *known, "proxy", "images"], metavar="NAME")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE}")
    parser.add_argument("--quick", action="store_true", help="one round of each")
    options = parser.parse_args()
    rows = side_by_side(wanted((*TABLE, *logs.TABLE, *storage.TABLE, *volumes.TABLE), options.names), options.quick)
    if journals := wanted(logs.JOURNALS, options.names):
        with logs.journal() as within:
            rows += side_by_side(journals, options.quick, within=within)
    if encrypted := wanted(tls.TABLE, options.names):
        with tls.flags() as flags:
            rows += side_by_side(encrypted, options.quick, *flags)
    if not options.names or "proxy" in options.names:
        rows += proxies(1 if options.quick else 5)
    if not options.names or "images" in options.names:
        rows += archives(1 if options.quick else 2)
    if options.write:
        PAGE.parent.mkdir(exist_ok=True)
        _, mark, explained = PAGE.read_text().partition("\n## ") if PAGE.exists() else ("", "", "")
        PAGE.write_text(page(rows) + mark + explained)  # what people wrote below the table stays
    return 0


def wanted(table: tuple[Metric, ...], names: list[str]) -> list[Metric]:
    return [each for each in table if not names or each.name in names]


class Row:
    """One line of the table: figures are medians."""

    def __init__(self, what: str, ours: float, theirs: float, unit: str, target: float, larger: bool) -> None:
        self.what, self.ours, self.theirs, self.unit = what, ours, theirs, unit
        self.ratio = ours / theirs if theirs else float("inf")
        self.target = f"{'≥' if larger else '≤'} {target:g}"
        self.good = self.ratio >= target if larger else self.ratio <= target
        print(f"{what:45} {show(ours, unit):>12} {show(theirs, unit):>12}  ratio {self.ratio:5.2f}"
              f"  to reach {self.target} {'yes' if self.good else 'NO'}", flush=True)

    @property
    def markdown(self) -> str:
        reached = "yes" if self.good else "**no**"
        figures = f"{show(self.ours, self.unit)} | {show(self.theirs, self.unit)} | {self.ratio:.2f}"
        return f"| {self.what} | {figures} | {self.target} | {reached} |"


def show(figure: float, unit: str) -> str:
    if unit == "s":
        return f"{figure * 1000:.1f} ms"
    if unit == "B":
        return f"{figure / 1e6:.1f} MB"
    return f"{figure:,.0f} {unit}" if figure >= 100 else f"{figure:.3g} {unit}"


def side_by_side(chosen: list[Metric], quick: bool, *flags: str, within: int = 0) -> list[Row]:
    os.environ.pop("ENGINE", None)
    if not chosen:
        return []
    with (
        Engine(*flags, reference=False, within=within) as ours,
        Engine(*flags, reference=True, within=within) as theirs,
    ):
        for engine in (ours, theirs):  # the first of everything is somebody's cold start
            engine.docker.ok("run", "--rm", "busybox", "true")
        return [compare(metric, ours, theirs, 1 if quick else metric.rounds) for metric in chosen]


def proxies(rounds: int) -> list[Row]:
    """docker-proxy beside Debian's, by a process of its own, since it moves into a namespace."""
    words = [sys.executable, "bench/proxy.py", "--json", "--rounds", str(rounds)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    rows = []
    for name, (ours, theirs) in json.loads(done.stdout).items():
        memory = "memory" in name
        rows.append(Row(f"docker-proxy: {name}", ours, theirs, "", 0.9 if memory else 1.0, not memory))
    return rows


def archives(rounds: int) -> list[Row]:
    """Images of two kinds through both engines, from archives and registries."""
    with Engine(reference=False) as ours, Engine(reference=True) as theirs:
        return [Row(what, mine, other, unit, target, False)
                for what, mine, other, unit, target in images.measure(ours, theirs, rounds)]


def compare(metric: Metric, ours: Engine, theirs: Engine, rounds: int) -> Row:
    figures: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds):
        for engine in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            figures[engine.reference].append(metric.measure(engine))
    mine, other = (statistics.median(figures[reference]) for reference in (False, True))
    return Row(metric.what, mine, other, metric.unit, metric.target, metric.larger)


def page(rows: list[Row]) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Ours beside Debian's docker.io in one run of `make bench`, in turns; medians. Read the ratios: absolute",
        "times mean little on a shared machine.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores.",
        "",
        "| what | ours | docker.io | ratio | to reach | reached |",
        "|---|---|---|---|---|---|",
        *(row.markdown for row in rows),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
