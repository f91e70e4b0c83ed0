from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from support.daemon import PASSWORD, ROUTE_B_ID

from hemsd.daemon.credentials import CredentialsError, find_credentials, load_credentials

GOOD = f'id = "{ROUTE_B_ID}"\npassword = "{PASSWORD}"\n'


def written(directory: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path = directory / "credentials.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CredentialsError) as caught:
        load_credentials(path, {})
    return str(caught.value)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """ID and password are read, and lower case is corrected as meters want it."""
    for content in (GOOD, GOOD.lower()):
        credentials = load_credentials(written(tmp_path, content), {})
        assert (credentials.id, credentials.password) == (ROUTE_B_ID, PASSWORD)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o777])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or others is refused with the command that mends it."""
    path = written(tmp_path, GOOD, mode)
    assert refusal(path) == f"{path}: others may read it (mode {mode:04o}); run: chmod 600 {path}"


def test_a_symbolic_link_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    """The mode of the file that was opened counts, not that of a link."""
    link = tmp_path / "link"
    link.symlink_to(written(tmp_path, GOOD))
    assert load_credentials(link, {}).id == ROUTE_B_ID
    written(tmp_path, GOOD, 0o644)
    assert "chmod 600" in refusal(link)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials must belong to this user or to root."""
    path = written(tmp_path, GOOD)
    about = path.stat()
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result((*about[:4], 4711, *about[5:])))
    assert refusal(path) == f"{path}: it belongs to user 4711; it must be yours or root's"


def test_what_systemd_hands_over_is_taken_as_it_is(tmp_path: Path) -> None:
    """systemd protects its credentials by other means (ramfs, access lists), so their mode is not judged."""
    path = written(tmp_path, GOOD, 0o644).rename(tmp_path / "routeb")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert find_credentials(None, environ) == path
    assert load_credentials(path, environ).password == PASSWORD


def test_an_empty_credential_of_systemd_names_the_file_to_write(tmp_path: Path) -> None:
    """The unit's fallback for a missing file leads the person to that file, not to systemd's copy."""
    path = written(tmp_path, "#").rename(tmp_path / "routeb")
    with pytest.raises(CredentialsError, match=r"^/etc/hemsd/credentials\.toml: no credentials yet; write id and"):
        load_credentials(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_the_file_is_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configured, then systemd's if it has one, then a plain user's own, then the system's."""
    system = Path("/etc/hemsd/credentials.toml")
    assert find_credentials("/x/y.toml", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == Path("/x/y.toml")
    assert find_credentials(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == system
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert find_credentials(None, environ) == system
    (tmp_path / "hemsd").mkdir()
    own = written(tmp_path / "hemsd", GOOD)
    assert find_credentials(None, environ) == own
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert find_credentials(None, environ) == system


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no credentials yet"),
        (f'id = "{ROUTE_B_ID}"', '"password" is missing'),
        (GOOD + 'mode = "fast"', 'there is no key "mode"; keys are id and password'),
        (GOOD.replace("password", "pasword"), 'there is no key "pasword"; did you mean "password"?'),
        (GOOD.replace(PASSWORD, PASSWORD[:-1]), "the Route B password must have 12 characters, this one has 11"),
        (GOOD.replace(ROUTE_B_ID, ROUTE_B_ID + "0"), "the Route B ID must have 32 characters, this one has 33"),
        (GOOD.replace(ROUTE_B_ID, "G" + ROUTE_B_ID[1:]), "the Route B ID may contain 0-9 and A-F only; character 1"),
        (GOOD.replace(PASSWORD, "0123456789A-"), "may contain 0-9 and A-Z only; character 12 is something else"),
        (GOOD.replace(f'"{PASSWORD}"', "123456789012"), '"password" must be text in quotes'),
        (GOOD.replace(f'"{PASSWORD}"', PASSWORD), ':2: this is not TOML; it holds id = "..."'),
        (GOOD.replace(f'= "{PASSWORD}"', PASSWORD), ":2: this is not TOML"),
        (f'{PASSWORD} = "{PASSWORD}"', "one key is neither id nor password"),
        (f"[{ROUTE_B_ID}]\n[{ROUTE_B_ID}]", "this is not TOML"),
        (GOOD.encode("utf-16"), "this is not UTF-8 text"),
        (GOOD + "#" * 70_000, "too long for a credentials file"),
    ],
)
def test_what_is_wrong_is_told_and_no_secret_is(tmp_path: Path, content: str | bytes, words: str) -> None:
    """Each mistake has a message with file and cause, and neither message nor traceback holds ID or password."""
    path = written(tmp_path, content)
    with pytest.raises(CredentialsError) as caught:
        load_credentials(path, {})
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))
    told = "".join(traceback.format_exception(caught.value))
    assert not any(secret in told for secret in (PASSWORD[:8], ROUTE_B_ID[:8], "1234567890"))


def test_a_missing_file_or_something_else_is_told(tmp_path: Path) -> None:
    """A path that leads nowhere, to a directory or to a pipe is refused at once."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "no such file" in refusal(tmp_path / "none")
    assert "this is not a file" in refusal(tmp_path / "pipe")
    assert "directory" in refusal(tmp_path)
