"""Degradations: pure, seeded functions that make soft, noisy or processed images of sharp ones.

`blur` and `camera` hold single steps, each with its source; `mixture` composes them in the order in
which a camera and a photographer apply them, and names the mixtures that recipes ask for.
"""
