"""The shipped table: made by its maker and by nobody else, read a class at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from hemsd.echonet.classes import table

SHIPPED = files("hemsd.echonet.classes").joinpath("appendix.json").read_bytes()
MAKER = Path(__file__).parents[1] / "mra_table.py"
APPENDIX = os.environ.get("HEMSD_MRA")  # the Machine Readable Appendix 1.3.1, unpacked

if APPENDIX:

    def test_the_maker_makes_what_is_shipped() -> None:
        """From the Appendix of the version that it names, byte for byte."""
        made = subprocess.run([sys.executable, "-X", "utf8", MAKER, APPENDIX], capture_output=True, check=True).stdout
        assert made == SHIPPED


def test_it_names_its_source_and_licence() -> None:
    """The licence itself is in NOTICE, which is in the package's metadata."""
    assert SHIPPED.startswith(b'{"source": "ECHONET Lite Machine Readable Appendix 1.3.1, 2025-03-14, release R",')
    notice = (Path(__file__).parents[3] / "NOTICE").read_text(encoding="utf-8")
    assert "hemsd/echonet/classes/appendix.json" in notice
    assert "Permission is hereby granted, free of charge" in notice


def test_it_is_small_and_without_prose() -> None:
    """Facts only, one property a line, in less than 400 kB."""
    assert len(SHIPPED) < 400_000
    assert max(map(len, SHIPPED.splitlines())) < 4_000
    assert not any(word in SHIPPED for word in (b'"remark"', b'"note"', b'"descriptions"', b'"elementName"'))


def test_one_class_is_read_without_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is parsed: the rest of the table may as well be broken."""
    begin = SHIPPED.index(b'\n"0130": {')
    end = SHIPPED.index(b"\n]}", begin) + 3
    rest = b"]" * begin
    monkeypatch.setattr(table, "_text", lambda: rest + SHIPPED[begin:end] + rest)
    found = table.read(0x0130)
    assert (found.name, len(found.properties)) == ("home_air_conditioner", 49)
    with pytest.raises(KeyError):
        table.read(0x0290)
