"""One module for each command of the trainer: its options, and what it does with them."""
