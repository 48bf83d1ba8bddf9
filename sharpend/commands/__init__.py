"""Subcommands, one per module; the parser is in `sharpend.cli`.

Each command's module has a `main` that takes the parsed options and returns the exit status
(`pause` has `pause` and `resume`). Shared by several: `overrides` and `selection` turn options into
settings, `inputs` lists the images in the folders, `stdout` guards standard output.
"""
