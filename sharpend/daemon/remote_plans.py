"""Translation of the settings to plain values, continued: folders in object storage."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.commit.remote import RemoteStore
from sharpend.files.objects.uploads import SPOOL, Uploads

if TYPE_CHECKING:
    from sharpend.daemon.folder import FolderPlan
    from sharpend.settings.load import Settings


def spool(settings: Settings) -> bytes | None:
    """Return the folder for what is on its way to object storage; None without such folders."""
    if not any(folder.is_remote for folder in settings.folder):
        return None
    return os.path.abspath(os.fsencode(settings.state / SPOOL))


def with_store(plan: FolderPlan, settings: Settings) -> FolderPlan:
    """Give the plan of a folder the store that it needs, if one of its places is in it."""
    where = spool(settings)
    if where is None:
        return plan
    return replace(plan, destination=replace(plan.destination, store=RemoteStore(Uploads(where))))
