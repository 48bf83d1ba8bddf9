"""Benchmark of models, codecs and the whole daemon, for `sharpend bench`.

Everything that is compared works in turn, in rounds, so that other load on the machine slows all
alike; a ratio is the median of the ratios within a round, and its spread is their range.

Terms: a *section* is a subject that is measured, and ends in a table; a *figure* is a median with
its range; the *roofline* is the number of images a second that all cores would reach if none ever
waited.
"""
