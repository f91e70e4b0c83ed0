"""One house of four worlds for all tests here: it takes seconds to come to life, and nobody changes it for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.worlds import House, Worlds, echoing


@pytest.fixture(scope="package")
def worlds() -> Iterator[Worlds]:
    """The hosts and their links; each but ours answers at its echo port."""
    with ExitStack() as stack:
        built = Worlds(stack)
        for host in built.others.values():
            stack.enter_context(echoing(host))
        yield built


@pytest.fixture(scope="package")
def house(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """With the daemon, a meter, appliances and a broker in them."""
    with House(worlds, tmp_path_factory.mktemp("house")).inhabited() as built:
        yield built
