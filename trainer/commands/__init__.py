"""Commands of the trainer: one module each with its options and the order of its steps.

`options` holds the values and options that several commands take. A module is imported only when
its command is called.
"""
