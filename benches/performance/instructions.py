"""Pieces of work in instructions, counted by valgrind, which do not depend on what else the machine does."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from peers import newest
from processes import CPUS, ROOT
from told import Section, goal, table

RECORDED = ROOT / "benches/instructions.json"
# So much more than recorded is a failure.
MARGIN = 1.03
# So often may a hit allocate, whatever the size of its answer.
ALLOCATIONS = 24
# How often a piece is repeated: what was held before is hashed otherwise each time, by some hundred thousand instructions.
OFTEN = {"merge": 10, "order": 10, "hold": 200}
PIECES = {
    "plan": "plan 40 days of half hours over 50 queues, all held",
    "merge": "merge them to days: 96,000 held rows to 2,000",
    "order": "the same, ordered and made a page of 100",
    "hold": "hold a day that comes: 2,400 rows",
    "json": "write that page as JSON",
    "ndjson": "… as NDJSON",
    "csv": "… as CSV",
}


def measure(wanted):
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    held = newest("held")
    with ThreadPoolExecutor(max_workers=len(CPUS)) as several:
        counted = dict(zip(PIECES, several.map(lambda name: counted_once(held, name), PIECES), strict=True))
    if wanted.record:
        RECORDED.write_text(json.dumps({"compiler": compiler, "instructions": counted}, indent=2) + "\n")
    recorded = json.loads(RECORDED.read_text())
    comparable = recorded["compiler"] == compiler
    grown = [name for name in PIECES if counted[name] > MARGIN * recorded["instructions"][name]]
    if grown and comparable:
        print(f"more instructions than recorded: {', '.join(grown)}", file=sys.stderr)
    rows = [
        [title, f"{counted[name]:,}", f"{counted[name] / recorded['instructions'][name] - 1:+.1%}" + (" **grown**" if name in grown else "")]
        for name, title in PIECES.items()
    ]
    heap, allocations = heap_of_a_hit()
    is_within = max(allocations) <= ALLOCATIONS and len(set(allocations)) == 1
    if not is_within:
        print(f"a hit allocates {allocations} times, by the size of its answer", file=sys.stderr)
    budget = ["allocations of a hit of 1 KB, 22 KB, 1 MB", ", ".join(map(str, allocations)), goal(f"≤ {ALLOCATIONS}, whatever the size", is_within)]
    return Section(
        f"Instructions of one repetition, by valgrind, {compiler}; compared with benches/instructions.json, of {recorded['compiler']}. "
        f"More than {MARGIN - 1:.0%} more is a failure" + ("." if comparable else ", but not between compilers."),
        [table(["piece", "instructions", "to what is recorded"], rows), table(["goal", "result", ""], [budget]), heap],
        failed=bool(grown) and comparable or not is_within,
    )


def counted_once(bench, piece):
    """What many more repetitions take, by their number: what comes before and after falls out."""
    more = OFTEN.get(piece, 2_000)
    few, many = (instructions(bench, piece, times) for times in (2, 2 + more))
    return (many - few) // more


def instructions(bench, piece, times):
    command = ["taskset", "-c", ",".join(map(str, CPUS)), "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-fd=1"]
    output = subprocess.run([*command, bench, "count", piece, str(times)], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"Collected : (\d+)", output)[1])


def heap_of_a_hit():
    """Bytes and times allocated by one hit, as the bench of the whole service counts them; and the times by size of answer."""
    output = subprocess.run([newest("hit"), "--bench", "--sample-count", "20"], capture_output=True, text=True, check=True).stdout
    allocations = [int(float(median)) for median in re.findall(r"(?<!max )\balloc:.*\n(?:[^\d\n]*[\d.]+){2}[^\d\n]*([\d.]+)", output)]
    text = f"Heap of one hit, the whole service without a socket (`cargo bench --bench hit`):\n\n```text\n{output.rstrip()}\n```\n"
    return text, allocations
