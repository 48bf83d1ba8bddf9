"""Settings: TOML file, environment and command line, merged and checked together.

A layer holds the values of one of these three sources. The schema holds keys, types, defaults and
bounds. A problem is one line for the user that names the key and what to change. Overlaps are
configured folders that are the same or contain one another.
"""
