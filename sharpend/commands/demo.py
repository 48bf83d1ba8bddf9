"""placeholder"""

import argparse


def main(options: argparse.Namespace) -> int:
    return 0
