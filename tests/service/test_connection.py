"""When a connection is cut off, by a clock and a wire of the test's own: a kernel's buffers hide slow readers."""

import asyncio
from unittest.mock import Mock

import pytest

from dcgan.service.connection import MIN_READ_RATE, Connection, Connections

SECONDS = 10
MOST = 3
MOST_IN_TIME = SECONDS * MIN_READ_RATE


class Watched:
    """A connection with a clock of its own, and with a wire that says how much is unread."""

    def __init__(self) -> None:
        self.now, self.unread = 0.0, 0
        self.wire = Mock(spec=asyncio.Transport)
        self.wire.get_write_buffer_size.side_effect = lambda: self.unread
        self.wire.is_closing.return_value = False
        self.connections = Connections(request_seconds=SECONDS, most=MOST, now=lambda: self.now)
        self.connection = Connection(self.connections, asyncio.Protocol())
        self.connection.connection_made(self.wire)

    def is_cut_after(self, seconds: float) -> bool:
        self.now += seconds
        self.connections.cut_off_late()
        return self.wire.abort.called or self.wire.close.called

    async def answer(self) -> None:
        async def app(_scope, _receive, _send) -> None:
            assert not self.is_cut_after(10 * SECONDS), "a request in progress has time"

        await self.connection.run(app, {"type": "http"}, None, None)


@pytest.fixture
def answered() -> Watched:
    """A connection that has just been answered with 10 terms' worth."""
    watched = Watched()
    asyncio.run(watched.answer())
    watched.unread = 10 * MOST_IN_TIME
    watched.connection.pause_writing()
    assert not watched.is_cut_after(0.1)
    return watched


def test_a_request_has_to_come_in_time_the_first_and_every_later_one():
    watched = Watched()
    assert not watched.is_cut_after(SECONDS)
    asyncio.run(watched.answer())
    assert not watched.is_cut_after(10 * SECONDS), "silence after an answer is uvicorn's to end"
    watched.connection.data_received(b"\r\n")
    assert not watched.is_cut_after(SECONDS)
    assert watched.is_cut_after(0.1)
    assert watched.wire.write.call_args[0][0].startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("too_few", [1, MOST_IN_TIME])
def test_who_reads_at_the_least_rate_is_not_cut_until_they_read_less(answered, too_few):
    for _ in range(5):
        answered.unread -= MOST_IN_TIME
        assert not answered.is_cut_after(SECONDS + 1)
    answered.unread -= MOST_IN_TIME - too_few
    assert not answered.is_cut_after(SECONDS)
    assert answered.is_cut_after(0.1)


@pytest.mark.parametrize(("left", "cut"), [(0, False), (1, True)])
def test_of_a_short_rest_all_must_be_read(answered, left, cut):
    answered.unread = 1000
    answered.connection.resume_writing()
    assert not answered.is_cut_after(0.1)
    answered.unread = left
    assert answered.is_cut_after(SECONDS + 1) == cut


def test_the_next_answer_has_a_term_of_its_own(answered):
    answered.unread = 10
    answered.connection.resume_writing()
    assert not answered.is_cut_after(SECONDS - 1)
    answered.unread = 10 * MOST_IN_TIME
    answered.connection.pause_writing()
    assert not answered.is_cut_after(2)


def test_what_waits_for_slow_readers_is_counted_while_it_does(answered):
    assert answered.connections.unread_bytes() == 10 * MOST_IN_TIME
    answered.unread = 10
    assert answered.connections.unread_bytes() == 0
    answered.connection.connection_lost(OSError())
    assert not answered.connections
