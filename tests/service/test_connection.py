"""How fast an answer must be read, with a clock and a wire of the test's own: a kernel's buffers hide slow readers."""

from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from dcgan.service.connection import MIN_READ_RATE, ImpatientProtocol, SlowReaders, impatient

SECONDS = 10
MOST_IN_TIME = SECONDS * MIN_READ_RATE


class Wire:
    """A transport that says how much is unread, and whether it was cut."""

    unread = 0
    cut = False

    def get_write_buffer_size(self) -> int:
        return self.unread

    def get_extra_info(self, _name: str) -> None:
        return None

    def abort(self) -> None:
        self.cut = True


class Clock:
    """A loop whose timers run when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Timer] = []

    def call_later(self, _seconds: float, call: Callable[..., None], *arguments: Any) -> "Timer":
        self.waiting.append(Timer(self, lambda: call(*arguments)))
        return self.waiting[-1]

    def term_ends(self) -> None:
        waiting, self.waiting = self.waiting, []
        for timer in waiting:
            timer.call()


class Timer:
    def __init__(self, clock: Clock, call: Callable[[], None]) -> None:
        self.clock, self.call = clock, call

    def cancel(self) -> None:
        self.clock.waiting.remove(self)


@pytest.fixture
def connection() -> ImpatientProtocol:
    """A connection that has just been answered with 10 terms' worth."""
    config = uvicorn.Config(lambda: None, log_config=None)
    made = impatient(SECONDS, SlowReaders())(config, ServerState(), {}, _loop=Clock())
    made.connection_made(Wire())
    made._data_came()
    made.transport.unread = 10 * MOST_IN_TIME
    made.pause_writing()
    return made


def test_who_reads_less_than_the_least_rate_is_cut(connection):
    connection.transport.unread -= MOST_IN_TIME - 1
    connection.loop.term_ends()
    assert connection.transport.cut


def test_who_reads_at_the_least_rate_is_not_until_they_stop(connection):
    for _ in range(5):
        connection.transport.unread -= MOST_IN_TIME
        connection.loop.term_ends()
        assert not connection.transport.cut
    connection.loop.term_ends()
    assert connection.transport.cut


@pytest.mark.parametrize(("left", "cut"), [(0, False), (1, True)])
def test_of_a_short_rest_all_must_be_read(connection, left, cut):
    connection.transport.unread = 1000
    connection.resume_writing()
    connection.transport.unread = left
    connection.loop.term_ends()
    assert connection.transport.cut == cut


def test_the_next_answer_has_a_term_of_its_own(connection):
    connection.transport.unread = 10
    connection.resume_writing()
    connection.transport.unread = 10 * MOST_IN_TIME
    connection.pause_writing()
    connection.transport.unread -= MOST_IN_TIME
    connection.loop.term_ends()
    assert not connection.transport.cut


def test_what_waits_for_slow_readers_is_counted_while_it_does(connection):
    assert connection.slow_readers.num_bytes() == 10 * MOST_IN_TIME
    connection.transport.unread = 10
    connection.resume_writing()
    assert connection.slow_readers.num_bytes() == 0
    connection.pause_writing()
    connection.connection_lost(OSError())
    assert not connection.slow_readers
    assert not connection.loop.waiting
