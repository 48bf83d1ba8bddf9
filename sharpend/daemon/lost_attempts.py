"""Lost attempts: the fork server, a node or a whole cluster failed during an image.

Owns the rule that this is not counted as a failure of the image. An image whose node fails each
time is quarantined after as many attempts as one that ends the daemon (`ledger.ledger`); before
that it runs alone (`ledger.scheduling`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.daemon.attempts import discard
from sharpend.errors import Reason
from sharpend.ledger.records import QuarantineReason
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from sharpend.attempt import Lost
    from sharpend.ledger.ledger import Ledger
    from sharpend.ledger.records import Job
    from sharpend.logs.logs import Log
    from sharpend.task import Task


def requeue(
    job: Job, task: Task | None, lost: Lost, ledger: Ledger, log: Log
) -> QuarantineReason | None:
    """Return a job to the queue without counting the attempt.

    Returns:
        The reason to quarantine it, where its worker was lost too often; else None.
    """
    discard(task)
    log.warning(
        Event.WORKER_LOST,
        folder=job.folder,
        path=job.relative,
        node=lost.node,
        cause=lost.cause,
    )
    if not lost.node:  # of the whole cluster, or of folders that a node does not see
        ledger.release(job)
        return None
    if ledger.lose(job):
        return None
    times = job.orphans + 1
    message = f"its worker was lost {times} times while it was processed: {lost.cause}"
    return QuarantineReason(Reason.WORKER_DIED, message)
