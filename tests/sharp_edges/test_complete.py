"""The list of sharp edges, in a few words each, and the proof that none goes without a test named after it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

EDGES = {
    1: "the text families differ in argument counts",
    2: "the answers to ROPT and WOPT end with CR alone",
    3: "SKLL64 answers without OK",
    4: "SKSENDTO: exact widths, raw bytes, nothing after; a short payload wedges the module",
    5: "EVENT 21 comes before OK, an INF may come before the echo",
    6: "EVENT 21 02 is no error, 01 is the only quick failure",
    7: "the echo returns after SKRESET and holds the password",
    8: "a binary payload may hold line ends, and either mode may be set",
    9: "ten tokens of ERXUDP mean two things",
    10: "SA2 means different things",
    11: "a beacon has no end marker; an empty scan still ends with EVENT 22",
    12: "Channel is hexadecimal and S2's value; Pan ID holds a blank",
    13: "passwords are upper case, their length is hexadecimal",
    14: "encrypted or not at all, both ways; J11 sends in the clear before PANA",
    15: "INF has any TID, D5 comes after every authentication, INFC wants an answer",
    16: "Get_SNA may answer a part; D3 and 8D are optional",
    17: "sentinels, signs, D3 multiplies, E1 is a power of ten",
    18: "EVENT 29 is no failure, EVENT 32 no loss of radio",
    19: "10 s after SKTERM, one controller per meter",
    20: "WOPT, WUART and SKSAVE wear out the flash",
    21: "SKRESET wipes all, autoload is void",
    22: "a J11 module's authentication may take minutes to fail, and succeeds in silence",
    23: "flow control and rate may be stored otherwise",
    24: "narrow scans need longer dwells",
    25: "a day's history is two fragments; the selector is shared, midnight moves it",
    26: "two writers would interleave",
    27: "an unplugged stick reads as nothing for ever",
    28: "the meter's clock is Japan's wall time, drifts, and turns over at midnight",
}


def test_every_edge_has_a_test() -> None:
    """Each number has a test in this directory, and each test here a number of the list."""
    named: set[int] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        for found in filter(None, (re.match(r"test_edge_(\d\d)_", function.name) for function in functions)):
            named.add(int(found[1]))
    assert list(EDGES) == [*range(1, 29)]
    assert named == EDGES.keys()
