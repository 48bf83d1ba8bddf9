"""Subcommands, one per module; the parser is in `sharpend.cli`.

Each module has a `main` that takes the parsed options and returns the exit status. Two modules are
shared by the others: `arguments` makes settings of the options, `live` starts a daemon and reads
its events.
"""
