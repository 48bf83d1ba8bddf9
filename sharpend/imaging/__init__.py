"""Image reading and writing: decode a file to pixels, keep its metadata, encode it again.

A *container* is a file format: `containers` has a module for each, `formats` a row, and `codec` is
the entry point. An *image* is what a file holds: *frames* of pixels and alpha, *save options*
that give its own quality again, and what it *carries*, metadata as *blocks* of bytes (`metadata`).
`metadata_policy` applies the owner's *policies* to it, `tensors` feeds a model. The only package of
sharpend that imports Pillow; `formats` imports nothing heavy.
"""
