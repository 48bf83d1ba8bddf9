"""Figures: the training diagram, pairs of images and the curves of runs, as PNG files.

A scene is one image before and after its degradation. `canvas` is the only module that imports
matplotlib.
"""
