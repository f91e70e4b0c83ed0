"""Tells systemd how the daemon is doing: sd_notify(3) and its watchdog, in the few lines that they need."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping

OVERDUE_LIMIT_S = 10.0  # a protocol machine this late is stuck: timers of a busy Pi are late by milliseconds
SEND_TIMEOUT_S = 1.0


class ServiceManager:
    """Whoever started this process and wants to be told, or nobody.

    >>> manager = ServiceManager()
    >>> manager.tell("READY=1", "STATUS=waiting for the meter")
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(environ.get("WATCHDOG_USEC", "0")) / 1e6 if ours else 0.0

    def tell(self, *assignments: str) -> None:
        """Send assignments as sd_notify(3) lists them. A manager that does not listen is no error of ours."""
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        message = "\n".join(assignment.replace("\n", " ") for assignment in assignments)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(SEND_TIMEOUT_S)
            try:
                sender.sendto(message.encode(errors="backslashreplace"), address)
            except OSError:
                return


async def feed_watchdog(manager: ServiceManager, overdue_s: Callable[[], float]) -> None:
    """Feed the watchdog at half its time, as long as no machine is overdue; returns at once where there is none.

    A loop that is stuck cannot feed either. Whether a meter answers plays no part.
    """
    while manager.watchdog_s:
        if overdue_s() <= OVERDUE_LIMIT_S:
            manager.tell("WATCHDOG=1")
        await asyncio.sleep(manager.watchdog_s / 2)
