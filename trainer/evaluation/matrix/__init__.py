"""The matrix: every method on every kind of softness, gains as well as harm.

A cell is one seeded degradation of an original; soft cells are those that a model should improve,
the others hold sharp or noisy images that it should leave alone. Harm is what a method amplifies
besides detail: noise, JPEG blocks, overshoot at edges. The cue is the softness that is measured of
an image; a threshold on it decides which images are skipped. A target is a limit that a photo model
has to meet. `comparison` measures, `means` reduces, `result` puts together the JSON.
"""
