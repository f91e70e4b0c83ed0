from __future__ import annotations

import tempfile
import traceback
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from support.daemon import PASSWORD, ROUTE_B_ID

from hemsd.daemon.config import Config
from hemsd.daemon.credentials import CredentialsError, load_credentials
from hemsd.daemon.schema import problems

NAMES = [
    "version",
    "site",
    "meter",
    "gateway",
    "broker",
    "daemon",
    "port",
    "live_s",
    "id",
    "url",
    "log_level",
    "prot",
]
SCALARS = st.sampled_from([1, 0, 30, 1.5, True, "auto", "home", "mqtt://h", "info", "6.4.3", ""]) | st.dates()
DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=5) | st.lists(inner, max_size=2)
)


@given(st.dictionaries(st.sampled_from(NAMES), DOCUMENTS, max_size=6))
def test_a_document_has_problems_exactly_where_it_cannot_be_used(document: dict[str, Any]) -> None:
    """The plain words and the conversion never disagree, and each problem has words."""
    found = problems(document, Config)
    try:
        msgspec.convert(document, Config)
    except msgspec.ValidationError:
        assert found
    else:
        assert not found
    assert all(text for _, text in found)


def _pieces(secret: str) -> set[str]:
    return {secret[at : at + 6] for at in range(len(secret) - 5)}


SECRETS = _pieces(ROUTE_B_ID) | _pieces(PASSWORD)
GOOD = f'id = "{ROUTE_B_ID}"\npassword = "{PASSWORD}"\n'


@given(
    st.lists(
        st.tuples(st.integers(0, len(GOOD)), st.integers(0, 3), st.text("\"'=[]#\\\n x0", max_size=3)), max_size=4
    )
)
def test_no_misspelt_credentials_file_gives_a_secret_away(edits: list[tuple[int, int, str]]) -> None:
    """However the file is mangled, what is said of it holds no six characters of ID or password."""
    text = GOOD
    for at, cut, put in edits:
        text = text[:at] + put + text[at + cut :]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "credentials.toml"
        path.touch(0o600)
        path.write_text(text)
        try:
            load_credentials(path, {})
        except CredentialsError as error:
            told = "".join(traceback.format_exception(error))
            assert not any(piece in told for piece in SECRETS)
