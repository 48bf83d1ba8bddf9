"""trainer: makes the weights that sharpend ships."""
