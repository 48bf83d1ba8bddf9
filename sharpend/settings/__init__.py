"""The settings: TOML file, environment and command line, merged and checked as one.

A layer is what one of these three sources sets. The schema holds keys, types, defaults and bounds.
A problem is one line for the user that names the key and what to change. Overlaps are configured
directories that are in each other's way.
"""
