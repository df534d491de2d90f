"""The sections of docs/performance.md, measured one after another. Started by ./bench, which installs what they need."""

import argparse
import os
import sys

import cold
import dashboards
import footprint
import hit
import instructions
from figures import machine, write
from processes import AHEAD, OTHER_CPUS, ROOT

DOCUMENT = ROOT / "docs/performance.md"
SECTIONS = {"hit": hit, "cold": cold, "dashboards": dashboards, "instructions": instructions, "footprint": footprint}


def main():
    arguments = argparse.ArgumentParser(prog="./bench", description=__doc__)
    arguments.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="only these")
    arguments.add_argument("--quick", action="store_true", help="a few seconds each, to try the tool; writes nothing")
    arguments.add_argument("--record", action="store_true", help="instruction counts: from now on compare with these")
    wanted = arguments.parse_args()
    before = os.getloadavg()[0]
    failed = False
    for name in wanted.sections or SECTIONS:
        print(f"\n== {name}", file=sys.stderr)
        section = SECTIONS[name].measure(wanted)
        failed |= section.failed
        text = f"{section.how} {machine()}; load of the machine before: {before:.1f}.\n\n{section.text()}"
        print(text)
        if not wanted.quick:
            write(DOCUMENT, name, text)
    return 1 if failed else 0


if __name__ == "__main__":
    os.nice(-AHEAD)
    os.sched_setaffinity(0, OTHER_CPUS)
    sys.exit(main())
