"""Notices that the files of a connection to the broker were replaced, so that it can be made anew with them."""

from __future__ import annotations

import asyncio
import logging
from math import inf
from pathlib import Path

from hemsd.gateway.config import LinkConfig, check

LOOKED_EVERY_S = 60.0

_log = logging.getLogger("hemsd.gateway")
_Stamps = dict[str, tuple[int, int, int] | None]


class Files:
    """Password, certificates and key as they are now: make this before the connection that uses them."""

    def __init__(self, config: LinkConfig) -> None:
        self._config = config
        self._used = self._seen = _stamps(config)

    async def renewed(self) -> None:
        """Wait until they have changed, have been left alone for a minute, and can be used.

        Files that cannot be used are told of in the log, and the connection stays what it is.
        """
        while True:
            await asyncio.sleep(LOOKED_EVERY_S if self._used else inf)  # not woken where there are no files
            if self.look():
                _log.info("the files for the broker were renewed: connecting with the new ones")
                return

    def look(self) -> bool:
        """Whether there is something new to connect with. To be asked from time to time."""
        before, self._seen = self._seen, _stamps(self._config)
        if self._seen == self._used or self._seen != before:  # as ever, or not complete yet: several may be replaced
            return False
        problems = check(self._config)
        if not problems:
            return True
        _log.warning("the files for the broker were changed and are of no use yet: %s", "; ".join(problems))
        self._used = self._seen  # told once; the next change is looked at again
        return False


def _stamps(config: LinkConfig) -> _Stamps:
    paths = (config.password_file, config.ca_file, config.cert_file, config.key_file)
    return {path: _stamp(Path(path)) for path in paths if path}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
