"""Who is meant: the appliances there are, found by id, name or address. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hemsd.control.settings import Refused
from hemsd.hub.messages import ApplianceStatus

APPLIANCES_MAX = 1024  # as many as may wait for a seat of the hub
SHOWN = 8  # of many that would do, in a sentence
GUESSED_MAX = 64  # letters of a word to which one like it is looked for


class Targets:
    """The latest ApplianceStatus of each appliance."""

    def __init__(self) -> None:
        self._known: dict[str, ApplianceStatus] = {}

    def __iter__(self) -> Iterator[ApplianceStatus]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def get(self, appliance: str) -> ApplianceStatus | None:
        """By id alone."""
        return self._known.get(appliance)

    def hear(self, status: ApplianceStatus) -> bool:
        """Take what an appliance is now; False where there are too many already."""
        if status.forgotten:
            self._known.pop(status.appliance, None)
        elif status.appliance in self._known or len(self._known) < APPLIANCES_MAX:
            self._known[status.appliance] = status
        else:
            return False
        return True

    def find(self, target: str) -> ApplianceStatus | Refused:
        """The one appliance of this id, else name, else address (a zone like %eth0 is no part of it)."""
        if (status := self._known.get(target)) is not None:
            return status
        wanted = target.casefold()
        address = wanted.partition("%")[0]
        found = [each for each in self if each.name.casefold() == wanted]
        found = found or [each for each in self if each.address.casefold() == address]
        match found:
            case [status]:
                return status
            case []:
                return self._unknown(target)
            case _:
                ids = listed(f"{each.name} ({each.appliance})" for each in found)
                return Refused(
                    "unknown_target", f'"{shortened(target)}" is more than one appliance: {ids}; give the id'
                )

    def _unknown(self, target: str) -> Refused:
        text = f'there is no appliance "{shortened(target)}"'
        if not self._known:
            return Refused("unknown_target", f"{text}: none has been found yet")
        words = [word for each in self for word in (each.name, each.appliance)]
        near = nearest(target, words)
        return Refused(
            "unknown_target", f'{text}; did you mean "{near}"?' if near else f"{text}; there is {listed(words[::2])}"
        )


def class_code(status: ApplianceStatus) -> int:
    """The class of an appliance, as in hemsd.echonet: 0x0130, ..."""
    return int(status.eoj[:4], 16)


def nearest(word: str, words: Iterable[str]) -> str:
    """The one of these words, which are in lower case, that was probably meant; empty where none is like it."""
    if len(word) > GUESSED_MAX:
        return ""
    from difflib import get_close_matches  # for those who mistype

    return next(iter(get_close_matches(word.lower(), list(words), 1)), "")


def listed(words: Iterable[str]) -> str:
    """Words as they stand in a sentence; what is too many of them is only counted."""
    every = list(words)
    rest = len(every) - SHOWN
    return ", ".join(every[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def shortened(text: str) -> str:
    """What somebody gave us, for a sentence."""
    return text if len(text) <= GUESSED_MAX else f"{text[:GUESSED_MAX]}..."
