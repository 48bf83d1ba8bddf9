"""Mean opinion scores: a study that people rate in a browser, and the report about their votes.

A study is a folder: crops under opaque names, `study.json`, and `votes.jsonl`, to which votes are
only appended. A condition is one method (the original, the degraded image, a mask, a model), a
content one image with one kind of softness, a stimulus the crop of a content by a condition. MOS is
the mean opinion score, DMOS that of differences to the hidden reference.
"""
