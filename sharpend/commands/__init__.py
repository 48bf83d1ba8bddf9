"""What each subcommand does; the parser is in `sharpend.cli`."""
