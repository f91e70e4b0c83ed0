"""Who is who: nodes by address and by identity, and what to make of one that says who it is. Pure.

    a node says who it is, and                                                     it is taken for
    its address belongs to a node that said otherwise                              OTHER: a node new at this address
    it is that node                                                                KNOWN
    nobody else claims to be that                                                  NEW
    the one that did is gone                                                       MOVED: that one, at a new address
    the one that did is there, on the other IP family, with the same objects      SAME: that one, heard twice
    the one that did is there                                                      DISPUTED until that one was asked

A claim that two living nodes make is shared from then on and identifies nobody new.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from hemsd.appliances.identity import claims
from hemsd.appliances.introspection import Met
from hemsd.appliances.memory import NODES_MAX
from hemsd.appliances.node import Node


class Verdict(Enum):
    KNOWN = "known"
    OTHER = "other"
    NEW = "new"
    MOVED = "moved"
    SAME = "same"
    DISPUTED = "disputed"


class Registry:
    """The nodes of one network: known ones, and candidates of which it is not known yet who they are."""

    def __init__(self, shared: Iterable[str] = ()) -> None:
        self.by_address: dict[str, Node] = {}
        self.shared = dict.fromkeys(shared)
        self.known: dict[Node, None] = {}  # wherever they are, or if nobody knows where
        self._by_claim: dict[str, Node] = {}

    @property
    def crowded(self) -> bool:
        """Whether there is no room for a candidate; whoever is known already stays."""
        return len(self.known) >= NODES_MAX or len(self.by_address) >= 2 * NODES_MAX

    def enter(self, node: Node) -> None:
        """Find it by its addresses from now on, and by who it is."""
        for address in node.addresses:
            self.by_address[address] = node
        if node.identity:
            self.known[node] = None
            self._by_claim[node.identity] = node
            for claim in claims(node.said, node.address):
                if claim == node.identity:
                    break
                if claim not in self.shared:  # better than what it was first known by
                    self._by_claim.setdefault(claim, node)

    def share(self, claim: str) -> None:
        """Two living nodes make this claim. What was shared longest ago makes way."""
        self.shared[claim] = None
        if len(self.shared) > NODES_MAX:
            del self.shared[next(iter(self.shared))]

    def remove(self, node: Node) -> None:
        """It is not known any more."""
        self.leave(node, *node.addresses)
        self.known.pop(node, None)
        for claim in [each for each, owner in self._by_claim.items() if owner is node]:
            del self._by_claim[claim]

    def leave(self, node: Node, *addresses: str) -> None:
        """It is not at these addresses any more."""
        for address in addresses:
            node.place(each for each in node.addresses if each != address)
            node.left = address
            del self.by_address[address]

    def twins(self, address: str, met: Met) -> list[Node]:
        """Nodes that were at this address, are nowhere now, and were in all but their number what is there now."""
        return [
            each
            for each in self.known
            if not each.addresses
            and each.left == address
            and (each.said.maker, each.said.product) == (met.said.maker, met.said.product)
            and each.listed == frozenset(met.instances)
        ]

    def judge(self, node: Node, met: Met) -> tuple[Verdict, str, Node]:
        """What to take a node for that said who it is; the claim that this rests on, and whom that means."""
        if node.identity:
            verdict = Verdict.OTHER if node.said.contradicted(met.said) else Verdict.KNOWN
            return verdict, node.identity, node
        *better, own = claims(met.said, node.address)
        for claim in better:
            if claim not in self.shared:
                return self._compared(node, met, claim)
        if (owner := self._by_claim.get(own)) is not None and owner.gone:
            return Verdict.MOVED, own, owner
        while own in self._by_claim:  # of one that was here once, and is known to be elsewhere now
            own += "'"
        return Verdict.NEW, own, node

    def _compared(self, node: Node, met: Met, claim: str) -> tuple[Verdict, str, Node]:
        """By a claim that identifies."""
        if (owner := self._by_claim.get(claim)) is None:
            return Verdict.NEW, claim, node
        if owner.gone:
            return Verdict.MOVED, claim, owner
        families = {is_ipv6(address) for address in owner.addresses}
        same = is_ipv6(node.address) not in families and frozenset(met.instances) == owner.listed
        return Verdict.SAME if same else Verdict.DISPUTED, claim, owner


def is_ipv6(address: str) -> bool:
    return ":" in address
