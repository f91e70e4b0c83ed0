"""What the documents list is what the code has."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from hemsd.cli.answer import GROUPS, KEYS
from hemsd.cli.exits import Exit
from hemsd.cli.parser import parser
from hemsd.echonet.classes.views import VOCABULARY
from hemsd.hub.messages import HistoryRow

ROOT = Path(__file__).parents[1]


def test_the_words_of_appliances_are_documented() -> None:
    """The table of words in docs/appliances.md is the vocabulary, word for word and in its order."""
    text = (ROOT / "docs" / "appliances.md").read_text("utf-8").partition("## Words")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == list(VOCABULARY.items())


def test_the_document_on_conformance_is_that_of_the_table() -> None:
    """Whoever changes a requirement or its proof runs `make docs`."""
    document = runpy.run_path(str(ROOT / "tests" / "conformance.py"))["document"]
    assert (ROOT / "docs" / "conformance.md").read_text("utf-8") == document()


def test_every_command_is_in_the_readme() -> None:
    """Each command that the parser knows stands in both READMEs."""
    (commands,) = [action.choices for action in parser()._actions if action.dest == "command"]
    assert commands is not None
    for name in ("README.md", "README.ja.md"):
        text = (ROOT / name).read_text("utf-8")
        assert [command for command in commands if f"`hemsd {command}" not in text] == []


def test_what_commands_print_for_programs_is_documented() -> None:
    """Exit codes, the fields of a reading with the words that bring them, and the columns of history."""
    sections = dict(
        part.partition("\n")[::2] for part in (ROOT / "docs" / "commands.md").read_text("utf-8").split("\n## ")[1:]
    )
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", sections["Exit codes"], re.MULTILINE)} == {*Exit}
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (?:`(\w*)`)?", sections["`hemsd read --json`"], re.MULTILINE)
    fields = {tuple(re.findall(r"\w+", names)): word for names, word in rows}
    assert {word for word in fields.values() if word} == {*GROUPS, "0xE7"}
    assert {names: fields[names] for names in KEYS.values()} == {names: word for word, names in KEYS.items()}
    rest = {"interval", "clock", "meter", "properties", "measured_at", "link"}
    assert {name for names in fields for name in names} == rest.union(*KEYS.values())
    columns = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", sections["`hemsd history --json`, `--csv`"], re.MULTILINE)
    assert re.findall(r"\w+", " ".join(columns)) == list(HistoryRow.__struct_fields__)
