"""Image metadata: EXIF, XMP, IPTC, ICC profiles, text chunks.

A *block* is one piece of metadata as bytes, with its *kind* and where its container keeps it; what
one image carries is its blocks in order, and for TIFF an *IFD* (image file directory) of tags. All
that a policy does not touch stays equal byte for byte: blocks are patched where they lie, never
parsed and written anew. *Record* is our own note of how an output was made; a *position* is
anything that says where a photograph was taken. Knows no container's layout.
"""
