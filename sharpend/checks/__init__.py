"""What `sharpend doctor` looks at, one subject a module; the command is in `commands.doctor`."""
