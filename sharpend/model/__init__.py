"""Pixels in networks: architectures, weights, tiles, runtimes and the SSIM wrapper."""
