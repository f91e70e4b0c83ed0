"""What can be done to a machine to install hemsd: steps that say what they do, and doing them one by one."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from drivers.files import PRIVATE, replace
from drivers.module import Credentials
from hemsd.daemon.credentials import as_file
from hemsd.daemon.places import system_path
from hemsd.daemon.sealing import KEY_FILE, SEALED_FILE, SYSTEMD_FILE, SealError, new_key, seal, seal_by_systemd

COMMAND_S = 120.0  # no command takes longer; a unit that waits for another is given 60 s by itself


class InstallError(Exception):
    """A step failed; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write a file for everyone to read, or for root alone, and the directories above it."""

    path: Path
    content: bytes = field(repr=False)
    what: str = ""
    private: bool = False

    def __str__(self) -> str:
        return f"write   {self.path}{f'  ({self.what})' if self.what else ''}"

    def do(self) -> str | None:
        """Do it; a note where there is one to make. Raises OSError."""
        _make_parent(self.path)
        replace(self.path, self.content, mode=PRIVATE if self.private else 0o644)
        return None


@dataclass(frozen=True, slots=True)
class Link:
    """Make one name lead to another file."""

    path: Path
    target: Path

    def __str__(self) -> str:
        return f"link    {self.path} -> {self.target}"

    def do(self) -> str | None:
        """See Write."""
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(self.target)
        return None


@dataclass(frozen=True, slots=True)
class Move:
    """Give a file or directory another place, and to the owner of that."""

    path: Path
    target: Path

    def __str__(self) -> str:
        return f"move    {self.path} -> {self.target}"

    def do(self) -> str | None:
        """See Write."""
        _make_parent(self.target, 0o700)
        owner = self.target.parent.stat()
        for each in (self.path, *self.path.rglob("*")):
            os.chown(each, owner.st_uid, owner.st_gid, follow_symlinks=False)
        self.path.rename(self.target)
        return None


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, or a directory with everything in it."""

    path: Path
    why: str = ""

    def __str__(self) -> str:
        return f"remove  {self.path}{f'  ({self.why})' if self.why else ''}"

    def do(self) -> str | None:
        """See Write."""
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)
        return None


@dataclass(frozen=True, slots=True)
class RemoveEmpty:
    """Remove a directory if nothing is left in it."""

    path: Path

    def __str__(self) -> str:
        return f"remove  {self.path}  (if nothing is left in it)"

    def do(self) -> str | None:
        """See Write."""
        with contextlib.suppress(OSError):
            self.path.rmdir()
        return None


@dataclass(frozen=True, slots=True)
class Run:
    """Run a program of the system."""

    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"run     {shlex.join(self.command)}"

    def do(self) -> str | None:
        """See Write. Raises InstallError as well."""
        try:
            done = subprocess.run(
                self.command,
                env={**os.environ, "PATH": system_path(), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InstallError(f"`{shlex.join(self.command)}` did not end within {COMMAND_S:g} s") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise InstallError(f"`{shlex.join(self.command)}` failed: {said or f'exit code {done.returncode}'}")
        return None


@dataclass(frozen=True, slots=True)
class Seal:
    """Keep the Route B credentials so that only this machine can read them, instead of any that were sealed before.

    None: those that will be asked for.
    """

    credentials: Credentials | None = field(repr=False)
    by_systemd: bool

    def __str__(self) -> str:
        if self.by_systemd:
            return f"seal    {SYSTEMD_FILE}  (Route B ID and password, by systemd-creds, for this machine only)"
        return f"seal    {SEALED_FILE}  (Route B ID and password, with a key in {KEY_FILE})"

    def do(self) -> str | None:
        """See Write. Where systemd-creds cannot seal, a key of root's does. Raises SealError as well."""
        if self.credentials is None:
            raise SealError("there are no credentials to seal")
        content = as_file(self.credentials)
        if not self.by_systemd:
            _seal_with_key(content)
            return None
        try:
            _make_parent(SYSTEMD_FILE, 0o700)
            seal_by_systemd(content, SYSTEMD_FILE)
        except SealError as error:
            _seal_with_key(content)
            return f"{error}; sealed into {SEALED_FILE} instead"
        SEALED_FILE.unlink(missing_ok=True)
        KEY_FILE.unlink(missing_ok=True)
        return None


def _seal_with_key(content: bytes) -> None:
    key = new_key()
    _make_parent(SEALED_FILE)
    SEALED_FILE.unlink(missing_ok=True)  # it is of another key than the one that will be beside it
    replace(KEY_FILE, key)
    replace(SEALED_FILE, seal(content, key))
    SYSTEMD_FILE.unlink(missing_ok=True)


Step = Write | Link | Move | Remove | RemoveEmpty | Run | Seal


def carry_out(steps: Iterable[Step], say: Callable[[str], None]) -> None:
    """Do one step after the other, saying each before it is done. Raises InstallError at the first that fails."""
    for step in steps:
        say(str(step))
        try:
            note = step.do()
        except (OSError, SealError, InstallError) as error:
            raise InstallError(
                f"{error}\nNothing was done after this. Mend it and run the same command again: what is done already "
                "is not done twice."
            ) from None
        if note is not None:
            say(f"        {note}")


def _make_parent(path: Path, mode: int = 0o755) -> None:
    """Make the directories above a file, whatever the umask."""
    for directory in reversed(path.parents):
        if not directory.exists():
            directory.mkdir()
            directory.chmod(mode if directory == path.parent else 0o755)
