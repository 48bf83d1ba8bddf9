"""Neural models: architectures, weights files, tiling, devices, SSIM.

A card is the metadata of a weights file. A student is a small model, a teacher the large one
that it was distilled from. Cues measure how soft an image is, and a cued model takes them as
input. An image is processed in tiles, each with a halo as wide as the receptive field. A runtime
runs a model on one device; the sharpener applies it to an image of any size.
"""
