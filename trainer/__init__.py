"""Train, measure and publish the models that sharpend ships.

A recipe (a TOML file in `recipes`) names a network, a mixture of degradations, a loss and a
schedule. `degradations` makes soft images of sharp ones; `training` turns a recipe and a split of
images into a run, a folder with checkpoints and a record; `evaluation` measures models on sets of
images; `publishing` writes a weights file and its cards from a run; `figures` draws; `commands`
holds one module for each command of `trainer`. Imports go in this order only.
"""
