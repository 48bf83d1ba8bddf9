"""Build hook: compile the passes over pixels beside their source, before the wheel is made.

Without a C compiler the package is complete, too: numpy computes the same pixels, more slowly.
"""

from __future__ import annotations

import os
import sysconfig
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension

PASSES = Extension(
    "sharpend.model._packing",
    ["sharpend/model/_packing.c"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    # Equal to numpy's pixels only if no multiplication is joined with an addition.
    extra_compile_args=["-std=c11", "-O3", "-ffp-contract=off", "-g0"],
    py_limited_api=True,
    optional=True,
)
BUILT = "sharpend/model/_packing.abi3.so"


class CompileHook(BuildHookInterface[Any]):
    """Hook of hatchling for wheels and editable installations."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile; where that fails the wheel has no compiled part."""
        built = os.path.join(self.root, BUILT)
        if os.path.exists(built):
            os.remove(built)
        compile_in_place(self.root)
        if os.path.exists(built):
            build_data["artifacts"].append(BUILT)
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"cp311-abi3-{platform}"
        else:
            self.app.display_warning("no C compiler: numpy computes the same pixels, more slowly")


def compile_in_place(root: str) -> None:
    """Compile the extension beside its source; a failure is shown, and no error."""
    distribution = Distribution({"name": "sharpend", "ext_modules": [PASSES]})
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    os.chdir(root)
    with tempfile.TemporaryDirectory() as scratch:
        command.build_temp = scratch
        command.ensure_finalized()
        command.run()
