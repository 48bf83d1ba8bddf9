"""Agreement between a student model and the teacher that it was distilled from.

A sample compares the results of both on one crop of a real image: SSIM, and the residual, which is
the squared difference to the teacher. `SecondOpinion` measures a sample inside a worker.
The alarm keeps a rolling window of samples in the daemon and decides when the agreement is low.
"""
