"""What a naive controller does wrong, and the proof that no mistake goes without a test named after it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

MISTAKES = {
    1: "listens on the port that it sent from",
    2: "accepts answers from source port 3610 only",
    3: "matches answers by TID alone",
    4: "takes its own multicast for an answer",
    5: "asks for too many properties at once",
    6: "throws refusals away that hold data, and split answers",
    7: "takes 50 for foreign, and 71 for an effect",
    8: "waits a second only, or twenty with nothing else allowed",
    9: "asks one node twice at once, and all nodes at start",
    10: "believes in D5, in one complete D6, in instance 01",
    11: "knows a node by its address, or by 83 alone",
    12: "takes sentinels for numbers, and numbers for states",
    13: "skips coefficients and units, and falls with registers",
    14: "labels history by what it asked for",
    15: "trusts property maps",
    16: "polls only, listens only, counts one notification twice",
    17: "answers neither INFC nor Get",
    18: "dies of a malformed frame or an unknown class",
    19: "joins the group on the wrong interface, once, and hears no broadcast",
    20: "repeats writes, and writes back what is old",
    21: "takes the order for the state",
    22: "lets something in between select and read",
}


def test_every_mistake_has_a_test() -> None:
    """Each number has a test in this directory, and each test here a number of the list."""
    named: set[int] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        if path.name == Path(__file__).name:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found = re.match(r"test_mistake_(\d\d)_", node.name)
                assert found, f"{node.name} in {path.name} is of no mistake"
                named.add(int(found[1]))
    assert list(MISTAKES) == [*range(1, 23)]
    assert named == MISTAKES.keys()
