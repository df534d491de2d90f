"""What a section found, as the document says it."""

import dataclasses
import statistics


@dataclasses.dataclass
class Section:
    """How it was measured in a sentence, tables of rows, and whether something failed that must not."""

    how: str
    tables: list
    failed: bool = False

    def text(self):
        return "\n".join(self.tables)


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def goal(said, reached):
    return f"{said}: {'reached' if reached else '**missed**'}"


@dataclasses.dataclass
class Spread:
    """Several measurements of one thing: the median, and how far they lie apart."""

    values: list

    @property
    def median(self):
        return statistics.median(self.values)

    def __str__(self):
        return f"{self.median:.2f} ({min(self.values):.2f}–{max(self.values):.2f})"


def ratios(these, those):
    """Round by round, so that what slowed one round slowed both."""
    return Spread([this / that for this, that in zip(these, those, strict=True)])
