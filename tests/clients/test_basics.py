"""Names, times, pauses, errors, and what a connection repeats."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import grpc
import pytest

from clients import Backoff, Connection, Names, Outcome, Submitter, short
from clients.channel import is_local
from clients.errors import (
    ApiError,
    DeadlineError,
    Details,
    ExhaustedError,
    InvalidArgumentError,
    NotFoundError,
    SupersededError,
    UnavailableError,
    from_status,
)
from clients.reporter import new_epoch
from clients.values import duration, moment, seconds, timestamp
from router.v1 import common_pb2
from tests.clients.fake_router import FakeRouter, rich


def test_names_are_completed_once() -> None:
    names = Names("north")
    assert names.task("t1") == "sites/north/tasks/t1"
    assert names.task("sites/north/tasks/t1") == "sites/north/tasks/t1"
    assert names.group("") == ""
    assert short("sites/north/tasks/t1") == "t1"


def test_full_jitter_stays_below_a_growing_bound() -> None:
    backoff = Backoff(first_s=0.1, most_s=1.0, random=random.Random(7))
    for attempt in range(200):
        assert 0 <= backoff.delay(attempt) <= min(1.0, 0.1 * 2**attempt)
    assert len({backoff.delay(5) for _ in range(50)}) == 50


def test_times_go_there_and_back() -> None:
    now = datetime(2030, 1, 31, 15, 0, tzinfo=UTC)
    assert moment(timestamp(now)) == now
    assert seconds(duration(1.25)) == 1.25
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2030, 1, 31))


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:50051", True),
        ("localhost:1", True),
        ("[::1]:5", True),
        ("unix:/tmp/x", True),
        ("router:50051", False),
        ("10.0.0.1:50051", False),
        ("dns:///router.example:443", False),
    ],
)
def test_which_addresses_are_of_this_machine(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_a_token_is_not_sent_to_another_machine_in_the_clear() -> None:
    with pytest.raises(ValueError, match="unencrypted"):
        Connection("router:50051", token="secret")
    Connection("router:50051", token="secret", plaintext_token=True)
    Connection("router:50051")


def test_an_item_status_becomes_the_error_of_its_code() -> None:
    status = common_pb2.Status(
        code=3, message="must be 0 to 100", reason="INVALID_ARGUMENT", field="task.priority"
    )
    error = from_status(status)
    assert isinstance(error, InvalidArgumentError)
    assert str(error) == "task.priority: must be 0 to 100 (INVALID_ARGUMENT)"
    gone = from_status(common_pb2.Status(code=10, reason="SUPERSEDED", metadata={"holder": "bob"}))
    assert isinstance(gone, SupersededError)
    assert gone.metadata == {"holder": "bob"}


def test_only_lost_answers_leave_the_outcome_open() -> None:
    assert NotFoundError("").outcome is Outcome.DEFINITE
    assert UnavailableError("").outcome is Outcome.UNKNOWN
    assert DeadlineError("").outcome is Outcome.UNKNOWN
    assert ApiError("", code=grpc.StatusCode.INTERNAL).outcome is Outcome.UNKNOWN
    assert ExhaustedError("", Details("SITE_FULL")).outcome is Outcome.DEFINITE
    assert ExhaustedError("larger than max").outcome is Outcome.UNKNOWN, "it may have been the answer"


def test_epochs_sort_in_the_order_in_which_they_are_made() -> None:
    first = new_epoch()
    assert new_epoch(first) > first
    assert new_epoch("9999-01-01") > "9999-01-01"
    longest = "9" * 64
    assert new_epoch(longest) > longest
    assert len(new_epoch(longest)) <= 64


async def test_rich_errors_reach_the_caller(fake: FakeRouter, connection: Connection) -> None:
    failure = rich(grpc.StatusCode.INVALID_ARGUMENT, "no such field", "BAD_FILTER", "filter")
    fake.failures["ListTasks"] = [failure]
    with pytest.raises(InvalidArgumentError) as caught:
        [task async for task in Submitter(connection).list_tasks("x")]
    error = caught.value
    assert (error.reason, error.metadata["holder"]) == ("BAD_FILTER", "bob")
    assert error.violations[0].field == "filter"


async def test_unavailable_is_repeated_and_nothing_else_is(fake: FakeRouter, connection: Connection) -> None:
    submitter = Submitter(connection)
    fake.failures["SubmitTask"] = [rich(grpc.StatusCode.UNAVAILABLE, "store", "STORE_UNAVAILABLE")] * 2
    await submitter.submit(common_pb2.Task(work_type="claims"))
    assert fake.calls == ["SubmitTask"] * 3
    fake.failures["SubmitTask"] = [rich(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", "RESOURCE_EXHAUSTED")]
    with pytest.raises(ApiError):
        await submitter.submit(common_pb2.Task(work_type="claims"))
    assert fake.calls == ["SubmitTask"] * 4


async def test_repetition_ends(fake: FakeRouter, connection: Connection) -> None:
    fake.failures["GetTask"] = [rich(grpc.StatusCode.UNAVAILABLE, "store", "STORE_UNAVAILABLE")] * 20
    with pytest.raises(UnavailableError):
        await Submitter(connection).get("t1")
    assert len(fake.calls) == 5


async def test_the_token_is_asked_for_at_each_call(fake: FakeRouter) -> None:
    tokens = iter(["one", "two"])
    async with Connection(fake.address, token=lambda: next(tokens)) as connection:
        for _ in range(2):
            with pytest.raises(NotFoundError):
                await Submitter(connection).get("t1")
    assert fake.authorizations == ["Bearer one", "Bearer two"]
