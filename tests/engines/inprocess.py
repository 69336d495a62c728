"""Tasks one after the other in this process: what they send is pickled on the way, as between machines."""

from __future__ import annotations

import pickle
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

from genrepipe.engines import tasks
from genrepipe.engines.distributed import Placer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from genrepipe.engines.tasks import Job, Message, Sent
    from genrepipe.ingest.pieces import Piece


T = TypeVar("T")


class InProcess(Placer):
    """Runs each task once."""

    def survey(self, job: Job) -> list[tuple[str, list[Piece]]]:
        return [tasks.survey(job, ordinal) for ordinal in range(len(job.source.parts))]

    def deliver(self, job: Job, pieces: Sequence[Piece]) -> list[Message]:
        job = _sent(job)
        landed = [
            sent
            for number, piece in enumerate(pieces)
            for sent in _attempt(lambda piece=piece: tasks.land(job, piece), number)
        ]
        self._delivered = _run(tasks.deliver, job, landed)
        return [message for _, message in self._delivered if message.kind in tasks.TO_THE_RUN]

    def score(self, job: Job) -> list[Message]:
        job = _sent(job)
        visible = [sent for sent in self._delivered if sent[1].kind not in tasks.TO_THE_RUN]
        return [message for _, message in _run(tasks.score, job, _run(tasks.profile, job, visible))]


def _run(task: Callable[..., Iterable[Sent]], job: Job, sent: Iterable[Sent]) -> list[Sent]:
    inboxes: list[list[Message]] = [[] for _ in range(job.buckets)]
    for bucket, message in sent:
        inboxes[bucket % job.buckets].append(_sent(message))
    return [
        each
        for bucket, messages in enumerate(inboxes)
        for each in _attempt(lambda bucket=bucket, messages=messages: task(job, bucket, messages), bucket)
    ]


def _attempt(call: Callable[[], Iterable[Sent]], bucket: int) -> list[Sent]:
    return tasks.attempt(call, bucket, is_last=True)


def _sent(value: T) -> T:
    return pickle.loads(pickle.dumps(value))


def cluster(*_: object) -> AbstractContextManager[InProcess]:
    """Stand in for ``spark.cluster``."""
    return nullcontext(InProcess())
