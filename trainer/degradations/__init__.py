"""Degradations: pure, seeded functions that make soft, noisy or processed images of sharp ones.

`blur` and `camera` hold single steps, each with its source, `drawing` and `lights` make originals
that photographs alone lack. A mixture is a function that draws steps and their parameters for one
image: `reduction` holds that of the report (bicubic reduction and enlargement), `photo` that of
photographs of any softness, `photo_mixtures` its shares. `mixture` defines their interface and the
rule for targets. `registry` names every mixture; a name is what `data.degradation` of a recipe
takes and what the card of the weights carries. Kind = one cause of softness within a mixture.
"""
