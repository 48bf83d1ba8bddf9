"""Checks of `sharpend doctor`, one subject per module.

A finding is what a check found, its level (ok, note or fault) and what to change. A question whose
answer depends on the user is asked in a process that runs as the service's user (`runner`). The
command that runs all checks is `commands.doctor`.
"""
