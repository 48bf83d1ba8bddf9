"""File bytes to pixels to tensors and back; the only package in sharpend that imports Pillow."""
