"""The requirements of G.9958 as a table: complete, and each with what proves it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from hemsd.hub.proofs import OTHERS, PROOFS
from hemsd.hub.requirements import BY_ID, EVERY, REQUIREMENTS, Profile

ROOT = Path(__file__).parents[2]


def test_every_number_is_there_once_and_in_order() -> None:
    """R1 to R55, then D1 to D10."""
    numbers = [f"R{number}" for number in range(1, 56)] + [f"D{number}" for number in range(1, 11)]
    assert [each.id for each in REQUIREMENTS] == numbers == list(BY_ID)
    assert get_args(Profile) == EVERY


def test_the_binding_words_are_those_of_the_recommendation() -> None:
    """As many of each as there are in its text; of the 6 musts one only bounds the scope."""
    words = [each.word for each in REQUIREMENTS if each.word]
    assert {word: words.count(word) for word in dict.fromkeys(words)} == {
        "must": 5,
        "shall": 35,
        "shall not": 8,
        "shall only": 2,
        "must not": 3,
        "recommended": 1,
        "should": 1,
    }


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(each.name for each in tree.body if isinstance(each, kinds) and each.name.startswith("test_"))


@pytest.mark.parametrize("proof", PROOFS)
def test_every_proof_exists(proof: str) -> None:
    """Each test that is named is one, and there is one at least."""
    assert PROOFS[proof].tests
    for node in PROOFS[proof].tests:
        path, _, name = node.partition("::")
        assert (ROOT / path).is_file(), node
        assert name in names_in(path), node


def test_what_hemsd_does_is_proven() -> None:
    """Whatever it enforces or verifies has a proof; every proof that there is proves something."""
    assert [each.id for each in REQUIREMENTS if each.duty != "document" and not each.proofs] == []
    assert {each.id for each in REQUIREMENTS if each.duty == "document"} == set(OTHERS)
    assert {proof for each in REQUIREMENTS for proof in each.proofs} == set(PROOFS)
