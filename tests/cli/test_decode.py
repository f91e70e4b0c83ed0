"""`hemsd decode`: one JSON object a line, whatever is put in."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest

from hemsd.cli.decode import TEXT_MAX, print_frames
from hemsd.cli.exits import Exit

FRAME = "1081525302880105FF017201E70400000278"


def decode(*items: str, source: str = "") -> tuple[int, list[dict[str, Any]]]:
    out = io.StringIO()
    code = print_frames(items, io.StringIO(source), out)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        FRAME,
        FRAME.lower(),
        f"0x{FRAME}",
        f"  {FRAME}\r\n",
        " ".join(f"0x{FRAME[at : at + 2]}" for at in range(0, len(FRAME), 2)),
        ":".join(FRAME[at : at + 2] for at in range(0, len(FRAME), 2)),
        "-".join(FRAME[at : at + 2] for at in range(0, len(FRAME), 2)),
    ],
)
def test_hexadecimal_as_people_write_it(text: str) -> None:
    """Case, 0x, blanks, colons and dashes make no difference."""
    code, (told,) = decode(text)
    assert code == 0
    assert told["properties"][0]["value"] == 632


def test_each_argument_is_a_frame() -> None:
    """In their order, each on a line of its own."""
    code, told = decode(FRAME, "108100000EF0010EF0017301D50401028801")
    assert (code, [each["tid"] for each in told]) == (0, ["5253", "0000"])


def test_standard_input_is_a_frame_a_line() -> None:
    """For the argument - ; empty lines are passed over, the last line may lack its end."""
    code, told = decode("-", source=f"{FRAME}\n\n   \n{FRAME}")
    assert (code, len(told)) == (0, 2)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1081525302880105FF017201E704000002", "byte 14: 4 bytes expected, 3 left"),
        ("1081", "byte 2: the header breaks off"),
        ("1082000102880105FF017201E70400000278", "byte 1: format 2"),
        ("", "byte 0: the header breaks off"),
        ("1081 52 5g", "byte 3: 'g' is no hexadecimal digit"),
        ("1081 5", "byte 2: half a byte"),
        ("電力", "byte 0: '電' is no hexadecimal digit"),
        ("\udcff\x00", "byte 0: '\\udcff' is no hexadecimal digit"),
        ("0" * (TEXT_MAX + 1), "longer than any datagram"),
    ],
)
def test_what_is_no_frame_is_an_error_object(text: str, error: str) -> None:
    """It says at which byte it breaks, and the exit code tells that one was among them."""
    code, told = decode(FRAME, text, FRAME)
    assert code == Exit.MALFORMED != 0
    assert [*told[1]] == ["error"]
    assert told[1]["error"].startswith(error)
    assert told[0] == told[2]


def test_a_huge_line_is_one_error_and_the_next_line_is_read() -> None:
    """A line without end takes no more memory than a datagram's."""
    code, told = decode("-", source="10" * (3 * TEXT_MAX) + f"\n{FRAME}\n" + "zz\n")
    assert code == Exit.MALFORMED
    assert [each.get("tid") or each["error"] for each in told] == [
        "longer than any datagram",
        "5253",
        "byte 0: 'z' is no hexadecimal digit",
    ]


def test_input_that_is_no_text_is_an_error_object() -> None:
    """Bytes that are no UTF-8 do not end the program."""
    out = io.StringIO()
    source = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n" + FRAME.encode()), encoding="utf-8")
    assert print_frames(["-"], source, out) == Exit.MALFORMED
    assert [*map(json.loads, out.getvalue().splitlines())][1]["tid"] == "5253"


def test_the_command() -> None:
    """The same from the shell, and quiet when the reader of its output goes away."""
    hemsd = [sys.executable, "-c", "import sys; from hemsd.cli import main; sys.exit(main())", "decode"]
    done = subprocess.run([*hemsd, FRAME, "10"], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (Exit.MALFORMED, 2, "")
    with subprocess.Popen(
        [*hemsd, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as piped:
        assert piped.stdin and piped.stdout and piped.stderr
        piped.stdout.close()
        piped.stdin.write(f"{FRAME}\n".encode() * 10)
        piped.stdin.close()
        assert piped.stderr.read() == b""
