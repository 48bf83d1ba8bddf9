"""Program: sharpen the images of a folder as another tool does, `python -m ... TOOL INPUT OUTPUT`.

`report` is the pipeline of the report that sharpend grew from: Pillow, two 3 x 3 convolutions of 16
channels at full resolution in torch, one image after the other. Its weights are random, as they do
not affect the time. `pillow` and `opencv` are unsharp masks;
`vips` starts one `vips sharpen` an image, which uses all cores.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Tool = Callable[[Path, Path], None]

QUALITY = 95
_RADIUS_PX, _PERCENT = 2, 150


def _report() -> Tool:
    import torch  # noqa: PLC0415 - the other tools need none

    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 3, 3, padding=1),
    ).eval()

    @torch.inference_mode()
    def sharpen(source: Path, to: Path) -> None:
        with Image.open(source) as image:
            values = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        made = network(values[None].float() / 255)[0].clamp(0, 1)
        pixels = (made * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(to, quality=QUALITY)

    return sharpen


def _pillow() -> Tool:
    mask = ImageFilter.UnsharpMask(_RADIUS_PX, _PERCENT, 0)

    def sharpen(source: Path, to: Path) -> None:
        with Image.open(source) as image:
            image.convert("RGB").filter(mask).save(to, quality=QUALITY)

    return sharpen


def _opencv() -> Tool:
    import cv2  # noqa: PLC0415 - installed on some machines only

    def sharpen(source: Path, to: Path) -> None:
        pixels: NDArray[np.uint8] = cv2.imread(str(source))
        soft = cv2.GaussianBlur(pixels, (0, 0), _RADIUS_PX)
        made = cv2.addWeighted(pixels, 1 + _PERCENT / 100, soft, -_PERCENT / 100, 0)
        cv2.imwrite(str(to), made, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])

    return sharpen


def _vips() -> Tool:
    def sharpen(source: Path, to: Path) -> None:
        subprocess.run(["vips", "sharpen", source, f"{to}[Q={QUALITY}]"], check=True)  # noqa: S607 - as its users call it

    return sharpen


TOOLS: dict[str, Callable[[], Tool]] = {
    "report": _report,
    "pillow": _pillow,
    "opencv": _opencv,
    "vips": _vips,
}


def main(arguments: Sequence[str]) -> int:
    """Sharpen each file of INPUT into OUTPUT."""
    tool, source, to = arguments
    sharpen = TOOLS[tool]()
    for path in sorted(Path(source).iterdir()):
        sharpen(path, Path(to) / path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
