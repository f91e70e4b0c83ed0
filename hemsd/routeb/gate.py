"""Whom we hear, and when we may speak: the reception filter and the transmit gate of a session. Pure."""

from __future__ import annotations

from collections import Counter

from drivers.module import ECHONET_PORT, Datagram

LIMIT_S = 3600.0  # the send limit looks back one hour (ARIB STD-T108): then it is over, whatever was heard of it
DOUBTED_S = 300.0  # how much longer it is believed in on a port opened anew: its release may have gone unheard
LIMITED = "the hourly send limit is reached, nothing is sent"


class Gate:
    """Told by the session of everything that opens and shuts it; `to` is whom datagrams may be sent to now.

    The send limit is the module's and outlives our connection to it, and so does the gate.
    """

    def __init__(self) -> None:
        self.to: str | None = None
        self.peer: str | None = None  # the meter's address while there may be a session
        self.limit_due: float | None = None  # while the send limit is engaged: when it is over
        self._stands = False  # the session, as far as we know
        self.lqi: int | None = None  # of the last datagram heard
        self.heard_at: float | None = None
        self.rssi_dbm: float | None = None  # the same, from modules that tell that
        self.dropped: Counter[str] = Counter()  # datagrams, by reason

    def connected(self) -> None:
        """Another connection: no session is known of."""
        self.peer, self._stands = None, False
        self._set()

    def begin(self, now: float) -> None:
        """That connection begins."""
        if self.limit_due is not None:
            self.limit_due = min(self.limit_due, now + DOUBTED_S)

    @property
    def limited(self) -> bool:
        """Whether the hourly send limit is engaged."""
        return self.limit_due is not None

    def meet(self, peer: str | None) -> None:
        """This is the meter's address; None where there is no session any more."""
        self.peer = peer
        self._set()

    def stand(self, stands: bool) -> None:
        """The session stands, or does not for now."""
        self._stands = stands
        self._set()

    def limit(self, due: float | None) -> None:
        """The send limit is engaged, until then at the longest; None: released."""
        self.limit_due = due
        self._set()

    def _set(self) -> None:
        self.to = self.peer if self._stands and self.limit_due is None else None

    def accept(self, datagram: Datagram, now: float) -> bool:
        """Whether a datagram is the meter's and safe to read; one that is not is counted in `dropped`."""
        if datagram.port != ECHONET_PORT:
            self.dropped["port"] += 1
        elif datagram.sender != self.peer:
            self.dropped["sender"] += 1
        elif not datagram.secured:
            self.dropped["unsecured"] += 1
        else:
            self.heard_at = now
            if datagram.lqi is not None:
                self.lqi = datagram.lqi
            if datagram.rssi_dbm is not None:
                self.rssi_dbm = datagram.rssi_dbm
            return True
        return False
