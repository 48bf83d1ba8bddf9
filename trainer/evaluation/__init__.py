"""Evaluation: quality, cost and harm of models, measured on sets of images.

A set is a folder of sharp originals, of pairs, or a split. A row is one method: doing nothing
(no-op), an unsharp mask, or a model. A score compares an output with its original (SSIM, PSNR); a
gain is a score less that of the degraded image; an estimate is a mean with its 95 % bootstrap
interval. A contact sheet shows crops by each row. `matrix` measures by kind of softness,
`agreement` measures the daemon's alarm, `mos` asks people.
"""
