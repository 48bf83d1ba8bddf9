"""File formats, one module each, which ends in its `CONTAINER`.

A *container* says how a format is probed (*header*: size and depth before any decoder), checked for
wholeness, read and written; `registry` finds it by the name in the format table. *Splicing* puts
carried blocks into a file that an encoder wrote without any. Most pixels are coded by Pillow
(`pillow`); a *note* tells the owner what could not stay as it was. A new format is a module
here and a row of `formats.TABLE`. What cannot be read is an `ImageRefusedError`: `truncated` where
it ends early, `damaged` where it contradicts itself.
"""
