"""Pipelining: no error is lost, nothing hangs, and the queues are bounded."""

from collections.abc import Iterator
from itertools import count
from threading import Barrier, Event, Lock, active_count

import pytest

from rvdtool.errors import OutputError, VideoError
from rvdtool.reconstruct.pipeline import ReadAhead, WriteBehind

LONG = 30
"""Seconds after which a test that hangs gives up."""


def test_all_items_come_in_order() -> None:
    with ReadAhead(iter(range(100))) as ahead:
        assert list(ahead) == list(range(100))
    with ReadAhead(iter(())) as ahead:
        assert list(ahead) == []


@pytest.mark.parametrize("error", [VideoError("frame 3 is damaged"), KeyboardInterrupt()])
def test_an_error_arrives_after_the_items_before_it(error: BaseException) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise error

    seen = []
    with pytest.raises(type(error)) as caught, ReadAhead(items()) as ahead:  # noqa: PT012
        for item in ahead:
            seen.append(item)
    assert seen == [0, 1, 2]
    assert caught.value is error


def test_a_consumer_that_stops_early_stops_the_reading() -> None:
    """An endless source whose consumer stops must not hang."""
    threads = active_count()
    taken = count()
    with ReadAhead(taken, depth=2) as ahead:
        assert next(iter(ahead)) == 0
    assert active_count() == threads
    assert next(taken) <= 4  # one yielded, two read ahead, one started when it was yielded


def test_an_error_of_the_consumer_is_not_replaced() -> None:
    with pytest.raises(OutputError, match="disk full"), ReadAhead(count()) as ahead:  # noqa: PT012
        for _ in ahead:
            raise OutputError("disk full")


def test_no_more_than_depth_is_read_ahead() -> None:
    read = []
    full = Event()

    def items() -> Iterator[int]:
        for item in range(10):
            read.append(item)
            if item == 2:
                full.set()
            yield item

    with ReadAhead(items(), depth=2) as ahead:
        iterator = iter(ahead)
        assert next(iterator) == 0
        assert full.wait(LONG)
    assert read == [0, 1, 2]


def test_all_jobs_are_done_when_the_block_ends() -> None:
    done: list[int] = []
    lock = Lock()

    def job(index: int) -> None:
        with lock:
            done.append(index)

    with WriteBehind() as writer:
        for index in range(50):
            writer.submit(lambda index=index: job(index))  # type: ignore[misc]
    assert sorted(done) == list(range(50))


def test_waiting_waits_for_all() -> None:
    release, done = Event(), Event()

    def job() -> None:
        assert release.wait(LONG)
        done.set()

    with WriteBehind() as writer:
        writer.submit(job)
        release.set()
        writer.wait()
        assert done.is_set()


def test_jobs_overlap() -> None:
    """Two jobs that wait for each other would never end one after the other."""
    meeting = Barrier(2, timeout=LONG)
    with WriteBehind(threads=2) as writer:
        for _ in range(2):
            writer.submit(lambda: void(meeting.wait()))


def void(_: object) -> None:
    return None


def fail() -> None:
    raise OutputError("disk full")


def test_a_failed_job_is_raised_at_the_end() -> None:
    with pytest.raises(OutputError, match="disk full"), WriteBehind() as writer:
        writer.submit(fail)


def test_a_failed_job_is_raised_while_waiting() -> None:
    with WriteBehind() as writer:
        writer.submit(fail)
        with pytest.raises(OutputError, match="disk full"):
            writer.wait()


def test_a_failed_job_is_raised_at_the_next_submission() -> None:
    submitted = 0
    with pytest.raises(OutputError, match="disk full"), WriteBehind(depth=3) as writer:  # noqa: PT012
        for _ in range(100):
            writer.submit(fail)
            submitted += 1
    assert submitted <= 4


def test_no_more_than_depth_jobs_are_unfinished() -> None:
    release = Event()
    started = Lock()
    unfinished, most = 0, 0

    def job() -> None:
        nonlocal unfinished
        release.wait(LONG)
        with started:
            unfinished -= 1

    with WriteBehind(threads=2, depth=4) as writer:
        for index in range(20):
            if index == 4:
                release.set()  # otherwise the fifth submission would wait forever
            with started:
                unfinished += 1
                most = max(most, unfinished)
            writer.submit(job)
    assert unfinished == 0
    assert most <= 5


def test_after_an_error_jobs_that_have_not_started_are_dropped() -> None:
    begun: list[int] = []
    release = Event()

    def job(index: int) -> None:
        begun.append(index)
        assert release.wait(LONG)

    many = 5000
    with pytest.raises(VideoError), WriteBehind(threads=1, depth=many) as writer:  # noqa: PT012
        for index in range(many):
            writer.submit(lambda index=index: job(index))  # type: ignore[misc]
        release.set()
        raise VideoError("damaged")
    assert len(begun) < many
