"""Training: from sharp images and a recipe to a run.

A split says which images train and which validate. A pool holds windows of images that a mixture
has degraded; labels are a teacher's outputs for images or windows. An example is one image with its
layers (degraded, target, taught); a batch is square crops of several examples. The loop trains the
network of a recipe by Adam, validates an exponential moving average of it, and writes checkpoints
(the whole state, to resume from) and a record (one JSON line for each validation) into the run's
folder; `origin` pins images, labels and commit. `models` opens anything that can sharpen by one
name: a shipped model, a weights file, a run, or a pretrained upscaler.
"""
