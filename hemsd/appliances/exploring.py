"""Gets to know the appliances of one node, one after the other, and looks at them anew from time to time. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from hemsd.appliances.courses import Courses
from hemsd.appliances.instance import Instance
from hemsd.appliances.introspection import Answers, Explored, ask_once, constants, explore, given
from hemsd.appliances.watch import Watch
from hemsd.echonet.classes.quirks import quirks_of

if TYPE_CHECKING:
    from hemsd.appliances.node import Node

TRIES_MAX: Final = 5  # of one appliance, for what it is silent about
RECENT_S: Final = 300.0  # after which a node that was away, or started, may have changed what it can do


class Exploring:
    """Of one node. What has been explored, and its constants read, is watched."""

    def __init__(self, node: Node, courses: Courses, watch: Watch, chance: Callable[[], float]) -> None:
        self._node = node
        self._courses = courses
        self._watch = watch
        self._chance = chance
        self._todo: deque[Instance] = deque()

    def consider(self, instance: Instance, now: float) -> None:
        """The node has been met: explore this if something is left to find out, or may have changed."""
        left = instance not in self._watch or (not instance.final and instance.explorations < TRIES_MAX)
        if (left or now > instance.explored_at + RECENT_S) and instance not in self._todo:
            self._todo.append(instance)

    def go_on(self, now: float) -> None:
        """Begin with the next one, unless something is being asked; of one that is known its constants."""
        node = self._node
        while self._todo and not self._courses.busy and not node.lost:
            instance = self._todo.popleft()
            if instance.gone or not instance.listed:
                continue
            if instance.known and instance.final and instance not in self._watch:
                self._recall(instance, now)
            else:
                course = explore(instance.device.eoj, node.said)
                self._courses.begin(course, partial(self._explored, instance), now)

    def _explored(self, instance: Instance, found: Explored | None, now: float) -> None:
        node = self._node
        if instance.gone:
            return
        instance.explored_at = now
        if instance.known and instance.final and (found is None or not found.final):
            return  # what was known before is better
        if found is None or not found.final:
            node.try_again(instance.explorations, now)
            instance.explorations += 1
        if found is None:
            if not instance.known:
                why = "it does not tell what it can do; it is asked again later"
                node.tell(instance.stands(online=instance.online, detail=why, now=now))
            return
        if found.told:
            instance.heard_at = now
        if events := instance.explored(found):
            self._watch.remove(instance)
        node.tell(events)
        node.told(instance, found.told, "read", now)
        if instance not in self._watch:
            self._recall(instance, now)

    def _recall(self, instance: Instance, now: float) -> None:
        """What is to be known of a device before its values mean anything."""
        device = instance.device
        quirks = quirks_of(device)
        self._node.dialogue.heed(
            device.eoj, alone=quirks.alone, batch=quirks.batch, gap_s=quirks.gap_s, answer_s=quirks.answer_s
        )
        if wanted := constants(device, instance.values):
            self._courses.begin(ask_once(device.eoj, wanted), partial(self._recalled, instance), now)
        else:
            self._recalled(instance, {}, now)

    def _recalled(self, instance: Instance, answers: Answers, now: float) -> None:
        if instance.gone:
            return
        if told := given(answers):
            self._node.told(instance, told, "read", now)
        self._watch.add(instance, now, self._chance)
