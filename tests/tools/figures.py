"""Figures, as the tools here put them into documents."""

import pathlib
import platform
import re
import time

from processes import CPUS


def machine():
    model = re.search(r"model name\s+: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{time.strftime('%Y-%m-%d %H:%M')} UTC, {len(CPUS)} processors ({model[1] if model else platform.machine()}), Linux {platform.release()}"


def write(document, name, text):
    """Puts figures where the document has room for them."""
    begin, end = f"<!-- {name}: figures begin -->", f"<!-- {name}: figures end -->"
    whole = document.read_text()
    before, rest = whole.split(begin)
    document.write_text(f"{before}{begin}\n{text}{end}{rest.split(end)[1]}")
