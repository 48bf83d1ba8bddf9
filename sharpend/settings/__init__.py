"""The settings: TOML file, environment and command line, merged and checked as one."""
