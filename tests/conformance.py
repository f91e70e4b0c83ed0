"""Writes the tables of docs/conformance.md out of hemsd.hub.requirements and proofs: python -m tests.conformance"""

from __future__ import annotations

from pathlib import Path

from hemsd.hub.proofs import OTHERS, PROOFS
from hemsd.hub.requirements import REQUIREMENTS, Requirement

DOCUMENT = Path(__file__).parents[1] / "docs" / "conformance.md"
HEADING = "## Requirements\n"  # what stands before it is written by hand
DUTIES = {"enforce": "enforced", "verify": "verified"}


def document() -> str:
    """The whole of it, as it ought to be."""
    rows = ["| | clause | word | binds | what it asks | profiles | how it is met |", f"|{' --- |' * 7}"]
    rows += [_row(each) for each in REQUIREMENTS]
    proofs = ["| | what is proven | by |", "| --- | --- | --- |"]
    for name, proof in PROOFS.items():
        proofs.append(f"| {name} | {proof.text} | {'<br>'.join(f'`{test}`' for test in proof.tests)} |")
    head = DOCUMENT.read_text("utf-8").partition(HEADING)[0]
    return "\n".join([head + HEADING, *rows, "\n## Proofs\n", *proofs, ""])


def _row(each: Requirement) -> str:
    how = f"documented: {OTHERS[each.id]}" if each.id in OTHERS else f"{DUTIES[each.duty]}: {', '.join(each.proofs)}"
    cells = (each.id, each.clause, each.word, each.binds, each.text, ", ".join(each.profiles), how)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), "utf-8")
