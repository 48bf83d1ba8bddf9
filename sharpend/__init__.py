"""sharpend: drop images into a folder, get sharp images out of another."""

__version__ = "0.1.0"
