"""Build hook: compile extensions beside their source, before the wheel is made.

Without a C compiler the package is complete, too: it makes the same pixels, more slowly.
"""

from __future__ import annotations

import os
import sysconfig
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension

SOURCES = {
    "sharpend.model._packing": "sharpend/model/_packing.c",
    "sharpend.imaging._backprojection": "sharpend/imaging/_backprojection.c",
    "sharpend.imaging.containers._jpegscan": "sharpend/imaging/containers/_jpegscan.c",
    "sharpend.imaging.containers._lzwwalk": "sharpend/imaging/containers/_lzwwalk.c",
}
EXTENSIONS = [
    Extension(
        name,
        [source],
        define_macros=[("Py_LIMITED_API", "0x030B0000")],
        # Equal to numpy's pixels only if no multiplication is joined with an addition.
        extra_compile_args=["-std=c11", "-O3", "-ffp-contract=off", "-g0"],
        py_limited_api=True,
        optional=True,
    )
    for name, source in SOURCES.items()
]
BUILT = [source.removesuffix(".c") + ".abi3.so" for source in SOURCES.values()]


class CompileHook(BuildHookInterface[Any]):
    """Hook of hatchling for wheels and editable installations."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile; where that fails the wheel has no compiled part."""
        for each in self._built():
            os.remove(os.path.join(self.root, each))
        compile_in_place(self.root)
        if built := self._built():
            build_data["artifacts"] += built
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"cp311-abi3-{platform}"
        else:
            self.app.display_warning("no C compiler: the same pixels are made more slowly")

    def _built(self) -> list[str]:
        return [each for each in BUILT if os.path.exists(os.path.join(self.root, each))]


def compile_in_place(root: str) -> None:
    """Compile the extensions beside their sources; a failure is shown, and no error."""
    distribution = Distribution({"name": "sharpend", "ext_modules": EXTENSIONS})
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    os.chdir(root)
    with tempfile.TemporaryDirectory() as scratch:
        command.build_temp = scratch
        command.ensure_finalized()
        command.run()
