"""sharpend: drop pictures into a folder, get sharp pictures out of another."""

__version__ = "0.1.0"
