"""OpenVINO as a runtime: the convolutions as a graph of its operations, in float32, bfloat16, int8.

The graph is built from the network's own tensors, never read from a file; `model.precision` chooses
where it runs. In int8 weights have a scale for each output channel, and what enters a convolution
has one that the model's card gives (`Card.ranges`): 0 stays exactly 0, so that flat stays flat;
values beyond are clipped. The first and the last convolution stay in bfloat16 where the card has no
ranges for them.

OpenVINO is twice as fast where it knows the shape when it compiles, which takes as long as half a
megapixel or more. So a window is put into a frame of one of few shapes, and a mask makes each
convolution see zeros outside the window, as its own padding would have it.

Source: OpenVINO's FakeQuantize-1, and its low precision transformations.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
import torch
from openvino import opset13 as op

from sharpend.model.networks import ResidualBlock
from sharpend.model.runtimes import DTYPES
from sharpend.model.trial import BFLOAT16, FLOAT32, INT8, OPENVINO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sharpend.model.networks import SharpeningNetwork

FRAME_CELLS = 16
"""Sides of frames are multiples of it: 64 pixels."""
MOST_FRAMES = 3
"""Compiled frames that are kept, the latest; one of a megapixel takes 36 MB."""
_HINTS = {FLOAT32: "f32", BFLOAT16: "bf16", INT8: "bf16"}
"""Type of what is not quantised."""
_TYPES = {torch.float32: openvino.Type.f32, torch.bfloat16: openvino.Type.bf16}
_FOLDED = 48
_CHANNELS_FIRST, _CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
_LEVELS, _LARGEST = 256, 127
"""Of 8 bit: values, and the largest of those with a sign."""
_TINY = 1e-12
"""Range of a channel whose weights are all zero."""


@cache
def _core() -> openvino.Core:
    """Return the one Core of this process.

    Each Core makes a stack for signals the thread's own, and frees it at its end: after the end of
    the second one of two, the next signal that Python handles would end the process.
    """
    return openvino.Core()


class OpenVinoTrunk:
    """The convolutions in OpenVINO, on the CPU.

    Args:
        network: in float32 on the CPU; with ranges for int8. Not changed.
        precision: float32, bfloat16 or int8.
        threads: None for OpenVINO's own choice.
    """

    runtime = OPENVINO

    def __init__(self, network: SharpeningNetwork, precision: str, threads: int | None) -> None:
        self.precision = precision
        self.takes = DTYPES[FLOAT32 if precision == FLOAT32 else BFLOAT16]
        self._network = network
        self._options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # all workers would be pinned to the same core
        }
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self._frames: OrderedDict[tuple[int, int], _Frame] = OrderedDict()

    def run(self, folded: Tensor, scales: Sequence[Tensor]) -> Tensor:
        """Compute the detail of one window, see `Trunk.run`."""
        height, width = folded.shape[2:]
        frame = self._frame(_in_steps(height), _in_steps(width))
        made = frame.run(folded.permute(_CHANNELS_LAST)[0], scales)
        return made[None].permute(_CHANNELS_FIRST)

    def _frame(self, height: int, width: int) -> _Frame:
        """Return the frame of this shape, compiled at its first use."""
        frame = self._frames.pop((height, width), None)
        if frame is None:
            graph = _Graph(self._network, (height, width), _TYPES[self.takes])
            model = graph.model(quantised=self.precision == INT8)
            frame = _Frame(_core().compile_model(model, "CPU", self._options), self.takes)
        self._frames[height, width] = frame
        if len(self._frames) > MOST_FRAMES:
            self._frames.popitem(last=False)
        return frame


def _in_steps(cells: int) -> int:
    return -(-cells // FRAME_CELLS) * FRAME_CELLS


class _Frame:
    """A compiled graph with its inputs.

    Args:
        compiled: takes the folded window, the mask, and scales where the model is cued.
        takes: type of the first two and of the output.
    """

    def __init__(self, compiled: Any, takes: torch.dtype) -> None:  # noqa: ANN401 - untyped library
        self._request = compiled.create_infer_request()
        shapes = [tuple(one.shape) for one in compiled.inputs]
        with torch.inference_mode(mode=False):  # tensors that may be written to in any mode
            folded, mask = (torch.empty(shape, dtype=takes) for shape in shapes[:2])
            self._scales = [torch.empty(shape) for shape in shapes[2:]]
        for index, tensor in enumerate((folded, mask, *self._scales)):
            self._request.set_input_tensor(index, _shared(tensor))
        self._folded, self._mask = folded[0], mask[0]
        self._takes = takes

    def run(self, folded: Tensor, scales: Sequence[Tensor]) -> Tensor:
        """Compute the detail of a window, h x w x 48, that fits the frame."""
        height, width = folded.shape[:2]
        self._folded[:height, :width] = folded
        self._folded[height:] = 0  # not by the mask: OpenVINO would reorder the input
        self._folded[:height, width:] = 0
        self._mask[:] = 0
        self._mask[:, :height, :width] = 1
        for kept, scale in zip(self._scales, scales, strict=True):
            kept.copy_(scale)
        self._request.infer()
        made = self._request.get_output_tensor(0).data[0]
        bits = made.view(np.int16) if self._takes == torch.bfloat16 else made
        return torch.from_numpy(bits).view(self._takes)[:height, :width]


def _shared(tensor: Tensor) -> openvino.Tensor:
    """Make a view of a tensor for OpenVINO."""
    bits = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
    return openvino.Tensor(bits.numpy(), openvino.Shape(tensor.shape), _TYPES[tensor.dtype])


class _Graph:
    """Operations of one network in a frame, as they are made.

    Args:
        network: the model.
        shape: of the frame, height and width in cells.
        kind: type of input and output.
    """

    def __init__(
        self, network: SharpeningNetwork, shape: tuple[int, int], kind: openvino.Type
    ) -> None:
        self._network = network
        self._kind = kind
        self._folded = op.parameter([1, *shape, _FOLDED], kind)
        self._mask = op.parameter([1, 1, *shape], kind)
        places = network.blocks + 2 if network.cued else 0
        of_features = [1, network.channels, 1, 1]
        self._scales = [op.parameter(of_features, openvino.Type.f32) for _ in range(places)]
        self._inside = _in_float(self._mask)
        self._ranges: Iterator[float | None] = iter(())

    def model(self, *, quantised: bool) -> openvino.Model:
        """Make the graph, see `SharpeningNetwork.trunk`.

        Args:
            quantised: true for int8.
        """
        network = self._network
        self._ranges = iter(_ranges(network) if quantised else [None] * (2 * network.blocks + 2))
        head, *of_blocks, tail = self._scales or [None] * (network.blocks + 2)
        blocks = (one for one in network.body if isinstance(one, ResidualBlock))
        folded = op.transpose(_in_float(self._folded), np.array(_CHANNELS_FIRST))
        features = op.relu(self._convolved(network.head, folded))
        features = shallow = _scaled(op.multiply(features, self._inside), head)
        for block, scale in zip(blocks, of_blocks, strict=True):
            inner = op.multiply(op.relu(self._convolved(block.first, features)), self._inside)
            inner = self._convolved(block.second, inner, signed=False)
            features = op.add(_scaled(op.multiply(inner, self._inside), scale), features)
        made = self._convolved(network.tail, _scaled(op.add(shallow, features), tail))
        detail = op.convert(op.transpose(made, np.array(_CHANNELS_LAST)), self._kind)
        parameters = [self._folded, self._mask, *self._scales]
        return openvino.Model([op.result(detail)], parameters, "trunk")

    def _convolved(self, layer: nn.Conv2d, features: Any, *, signed: bool = True) -> Any:  # noqa: ANN401
        """Add the next convolution, in int8 where it has a range."""
        largest = next(self._ranges)
        if largest is None:
            return _convolved(layer, features)
        entering = _in_eight_bits(features, largest, signed=signed)
        return _convolved(layer, entering, _kernels_in_eight_bits)


def _ranges(network: SharpeningNetwork) -> Sequence[float | None]:
    """Ranges of all convolutions in int8; None for head and tail where the card has none."""
    if len(network.ranges) > 2 * network.blocks:
        return network.ranges
    return None, *network.ranges, None


def _convolved(
    layer: nn.Conv2d,
    features: Any,  # noqa: ANN401 - untyped library
    given: Callable[[NDArray[np.float32]], Any] = op.constant,
) -> Any:  # noqa: ANN401 - untyped library
    """Add a convolution with zeros around the frame; `given` makes its kernels."""
    kernels = given(layer.weight.detach().numpy())
    made = op.convolution(features, kernels, [1, 1], layer.padding, layer.padding, [1, 1])
    if layer.bias is None:
        return made
    return op.add(made, op.constant(layer.bias.detach().numpy().reshape(1, -1, 1, 1)))


def _in_float(node: Any) -> Any:  # noqa: ANN401 - untyped library
    return op.convert(node, openvino.Type.f32)


def _scaled(features: Any, scale: Any) -> Any:  # noqa: ANN401 - untyped library
    return features if scale is None else op.multiply(features, scale)


def _in_eight_bits(features: Any, largest: float, *, signed: bool) -> Any:  # noqa: ANN401
    """Round to 256 steps, of which 0 is one: -128 to 127 if signed, else 0 to 255."""
    low = -largest * (_LARGEST + 1) / _LARGEST if signed else 0.0
    ends = op.constant(np.float32(low)), op.constant(np.float32(largest))
    return op.fake_quantize(features, *ends, *ends, _LEVELS)


def _kernels_in_eight_bits(kernels: NDArray[np.float32]) -> Any:  # noqa: ANN401 - untyped library
    """Round to 255 steps, -127 to 127, of each output channel's own range."""
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True).clip(_TINY)
    ends = op.constant(-largest), op.constant(largest)
    return op.fake_quantize(op.constant(kernels), *ends, *ends, _LEVELS - 1)
