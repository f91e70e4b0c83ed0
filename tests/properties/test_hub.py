"""The queue of a seat against a plain list that does the same by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.hub import AT

from hemsd.hub.messages import Domain, Event, Message, MeterReading, ReadMeter
from hemsd.hub.queue import POLICIES, Queue

readings = st.builds(MeterReading, meter=st.sampled_from("abc"), measured_at=st.just(AT), power_w=st.integers(-9, 9))
events = st.builds(
    Event,
    at=st.just(AT),
    source=st.just(Domain.ROUTEB),
    kind=st.text(max_size=2),
    severity=st.just("info"),
    text=st.just(""),
)
questions = st.builds(ReadMeter, request=st.text(max_size=2), asker=st.just(Domain.OPERATOR), epcs=st.just((0xE7,)))
take = st.none()


@given(st.lists(readings | events | questions | take, max_size=300))
def test_a_queue_is_a_list_where_live_values_are_replaced_and_requests_bounded(steps: list[Message | None]) -> None:
    """Whatever comes and goes: order of arrival, one reading for each meter, no more requests than the cap."""
    queue, model = Queue(), list[Message]()
    for step in steps:
        match step:
            case None:
                assert queue.take() == (model.pop(0) if model else None)
            case MeterReading():
                places = [n for n, m in enumerate(model) if isinstance(m, MeterReading) and m.meter == step.meter]
                assert queue.put(step)
                model[slice(places[0], places[0] + 1) if places else slice(len(model), None)] = [step]
            case ReadMeter():
                room = sum(isinstance(m, ReadMeter) for m in model) < POLICIES[ReadMeter].cap
                assert queue.put(step) is room
                model += [step] * room
            case _:
                assert queue.put(step)
                model.append(step)
    assert len(queue) == len(model)
    assert [queue.take() for _ in model] == model
