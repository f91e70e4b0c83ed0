"""When and whom to ask who is there."""

from __future__ import annotations

from itertools import count, pairwise

from support.scripted import GET, INF, INF_REQ, PROFILE, UNIQUE, Heard

from drivers.packet import ALL_NODES, ALL_NODES_IPV4
from hemsd.appliances.discovery import Discovery
from hemsd.appliances.ourselves import OwnNode
from hemsd.echonet.frame import encode

FAR = "192.168.9.9"


def rounds(discovery: Discovery, start: float, many: int) -> list[tuple[float, list[tuple[str, Heard]]]]:
    ourselves, tids, now, told = OwnNode(unique=UNIQUE), count(1), start, []
    for _ in range(many):
        sent = discovery.tick(now, ourselves, lambda: next(tids))
        told.append((now - start, [(address, Heard.of(encode(frame))) for address, frame in sent]))
        now = discovery.due
    return told


def test_our_announcement_goes_first() -> None:
    """Then the Get of D6, to each group that can be reached, and to each configured node by itself."""
    discovery = Discovery((ALL_NODES, ALL_NODES_IPV4), (FAR,), lambda: 0.5)
    assert discovery.due < 0
    ((_, sent),) = rounds(discovery, 0.0, 1)
    assert [(address, heard.esv) for address, heard in sent[:2]] == [(ALL_NODES, INF), (ALL_NODES_IPV4, INF)]
    assert sent[0][1].properties[0][0] == 0xD5
    asking = [(address, heard.deoj, heard.properties) for address, heard in sent if heard.esv == GET]
    assert asking == [(to, PROFILE, ((0xD6, b""),)) for to in (ALL_NODES, ALL_NODES_IPV4, FAR)]
    assert {heard.tid for _, heard in sent if heard.esv == GET} <= set(discovery.asked)


def test_asked_again_soon_and_for_ever() -> None:
    """At +3, +10 and +60 s, then every 10 to 60 minutes; once with a request to announce the list (INF_REQ D5)."""
    told = rounds(Discovery((ALL_NODES,), (), iter([0.0, 0.999, 0.5] * 9).__next__), 100.0, 9)
    times = [at for at, _ in told]
    assert times[:4] == [0.0, 3.0, 10.0, 60.0]
    pauses = [later - before for before, later in pairwise(times[3:])]
    assert min(pauses) >= 600.0
    assert 3500.0 < max(pauses) <= 3600.0
    assert all(any(heard.esv == GET for _, heard in sent) for _, sent in told)
    assert [sum(heard.esv == INF_REQ for _, heard in sent) for _, sent in told] == [0, 1, *[0] * 7]


def test_who_is_missed_is_looked_for_soon_and_once_more() -> None:
    """5 and 60 s after, with whoever else is missed meanwhile; the usual rounds go on."""
    discovery, ourselves = Discovery((ALL_NODES,), (), lambda: 0.5), OwnNode(unique=UNIQUE)
    times = []
    for missed_at in (1.0, 30.0, 1000.0, 1059.0, 1066.0, 5000.0):
        while (now := max(discovery.due, 0.0)) <= missed_at:
            assert discovery.tick(now, ourselves, lambda: 1)
            times.append(now)
        discovery.miss(missed_at)
    usual = [0.0, 3.0, 10.0, 60.0, 60.0 + 2100.0, 60.0 + 2 * 2100.0]
    assert times == sorted([*usual, 6.0, 61.0, 1005.0, 1060.0, 1071.0, 1126.0])


def test_too_early_is_nothing() -> None:
    """A tick before its time sends nothing."""
    discovery = Discovery((ALL_NODES,), (), lambda: 0.5)
    rounds(discovery, 0.0, 1)
    assert discovery.tick(2.9, OwnNode(unique=UNIQUE), lambda: 1) == []
