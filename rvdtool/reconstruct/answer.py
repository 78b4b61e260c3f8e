"""Run the network on a CPU, with compiled single-pass loops for its inputs and outputs.

The result equals that of `CalibratedFagdn.forward` on the planes of `pack_prior` (a test compares
them), which training and GPUs use. To save memory, the input planes are computed for a few rows at
a time and passed directly to the network's first layer.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rvdtool.network.calibrated import (
    BEYOND,
    CANDIDATES,
    INPUTS,
    SMALLEST,
    STEEPEST,
    UNTOLD,
    CalibratedFagdn,
)
from rvdtool.reconstruct.affinity import Prior
from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.compiled import exp, in_strips, inline, kernel, log
from rvdtool.reconstruct.packing import Packing, shown_brightness
from rvdtool.reconstruct.statistics import Array
from rvdtool.video.frame import Rgb

_ROWS = 8
"""Number of rows of cells whose planes are computed at a time."""
_STRIP = 128
"""Number of rows of cells whose finest features are computed at a time: even, and large beside the
rows above and below that are computed twice."""
_DECODER_REACH = 4
"""Rows of cells that affect others in `decode_fine` lie within 3; this is even."""

_SMALLEST, _STEEPEST = np.float32(SMALLEST), np.float32(STEEPEST)
_BEYOND, _UNTOLD = np.float32(BEYOND), np.float32(UNTOLD)
_0, _1, _2, _3, _5 = (np.float32(number) for number in (0, 1, 2, 3, 5))
_HALF, _QUARTER, _TENTH, _HUNDREDTH = (np.float32(number) for number in (0.5, 0.25, 0.1, 0.01))


def fits(network: CalibratedFagdn) -> bool:
    """Whether this module supports a network: on a CPU, and without ablations."""
    config = network.config
    complete = config.full_resolution and config.warping and config.anchored
    calibrated = config.confidence_map and config.calibrated
    return complete and calibrated and next(network.parameters()).device.type == "cpu"


class Answer:
    """Runs a network that `fits` on priors of one clip."""

    def __init__(self, network: CalibratedFagdn, packing: Packing, gain_tracked: bool) -> None:
        """See `Learned`."""
        self._network = network
        self._packing = packing
        self._gain_tracked = gain_tracked
        stem = network.encoder.stem
        self._dtype = stem.weight.dtype
        assert stem.bias is not None  # as `_Encoder` makes it
        self._weights = stem.weight.detach().float()[:, :, 0, 0].t().contiguous()
        self._constants = stem.bias.detach().float()
        self._rows, self._columns = packing.places()
        self._cells = self._rows.size // 2, self._columns.size // 2

    def __call__(self, prior: Prior, rgb: Rgb, reference: Tensor | None) -> Array:
        """Run the network on a frame; return its normalised RAW, [H, W].

        Args:
            prior, rgb: the frame's prior and its sRGB.
            reference: the result of `CalibratedFagdn.encode_reference`.
        """
        maps = _maps(prior)
        fine, half = self._encode(maps, rgb, prior)
        half = self._network.inner(half, reference, self._packing.pack_flow(prior.far))
        return self._decode(half, fine, maps, prior)

    def _encode(self, maps: tuple[Array, ...], rgb: Rgb, prior: Prior) -> tuple[Tensor, Tensor]:
        """`CalibratedFagdn.encode_fine` of a frame, [1, C, h, w], and its features at half size."""
        network, (height, width) = self._network, self._cells
        channels = network.config.widths
        fine = self._features(channels[0], height, width)
        half = self._features(channels[1], height // 2, width // 2)
        reach = 2 * network.config.depths[0]
        rgb = rgb if rgb.flags.c_contiguous else rgb.copy()

        def strip(first: int, last: int) -> None:
            above, below = max(first - reach, 0), min(last + reach, height)
            with torch.inference_mode():  # applies to this thread only
                made = network.encode_fine(self._first_layer(above, below, maps, rgb, prior))
                rows = fine[:, :, first:last]
                rows[:] = made[:, :, first - above : last - above]
                half[:, :, first // 2 : last // 2] = network.encoder.down[0](rows)

        in_strips(height, strip, _STRIP)
        return fine, half

    def _decode(self, half: Tensor, fine: Tensor, maps: tuple[Array, ...], prior: Prior) -> Array:
        """`CalibratedFagdn.decode_fine` of a frame, and the fusion that it changes, [H, W]."""
        height = self._cells[0]
        value = empty(self._packing.size)
        padding = np.array(self._packing.before)

        def strip(first: int, last: int) -> None:
            above, below = max(first - _DECODER_REACH, 0), min(last + _DECODER_REACH, height)
            with torch.inference_mode():
                out = self._network.decode_fine(
                    half[:, :, above // 2 : below // 2], fine[:, :, above:below]
                )
                cells = out.permute(0, 2, 3, 1)[0, first - above : last - above]
                changes = cells.float().contiguous().numpy()
            top, bottom = (min(max(2 * row - padding[0], 0), len(value)) for row in (first, last))
            _fuse_rows(top, bottom, maps, prior.clipped, changes, first, padding, value)

        in_strips(height, strip, _STRIP)
        return value

    def _features(self, channels: int, height: int, width: int) -> Tensor:
        # Allocated as a batch: PyTorch wouldn't recognise channels last in `[None]`, since the
        # stride of the batch differs, and would convert at every layer.
        return torch.empty(
            (1, channels, height, width), dtype=self._dtype, memory_format=torch.channels_last
        )

    def _first_layer(
        self, top: int, bottom: int, maps: tuple[Array, ...], rgb: Rgb, prior: Prior
    ) -> Tensor:
        """Features of the network's first layer for some rows of cells, channels last."""
        width, channels = self._cells[1], self._weights.shape[1]
        features = self._features(channels, bottom - top, width)
        by_cell = features[0].permute(1, 2, 0)
        peak = np.float32(np.iinfo(rgb.dtype).max)
        constants = np.array([5 * shown_brightness(prior), self._gain_tracked], np.float32)
        for first in range(top, bottom, _ROWS):
            last = min(first + _ROWS, bottom)
            planes = np.empty((INPUTS, last - first, width), np.float32)
            rows = self._rows[2 * first : 2 * last]
            _fill_inputs(rows, self._columns, maps, rgb, prior.clipped, peak, constants, planes)
            cells = torch.from_numpy(planes).view(INPUTS, -1).t()
            made = torch.addmm(self._constants, cells, self._weights)
            by_cell[first - top : last - top] = made.view(last - first, width, channels)
        return features


def _maps(prior: Prior) -> tuple[Array, ...]:
    """The candidates' values (0 to 3) and variances (4 to 7), first fit (8), previous fit (9) and
    fine variance (10)."""
    candidates = (prior.fit, prior.anchored, prior.previous, prior.warped)
    maps = (
        *(candidate.value for candidate in candidates),
        *(candidate.variance for candidate in candidates),
        prior.first_fit,
        prior.previous_fit,
        prior.fine,
    )
    return tuple(np.ascontiguousarray(one, np.float32) for one in maps)


@kernel
def _fill_inputs(
    rows: NDArray[np.uint64],
    columns: NDArray[np.uint64],
    maps: tuple[Array, ...],
    rgb: Rgb,
    clipped: NDArray[np.uint8],
    peak: np.float32,
    constants: Array,
    planes: Array,
) -> None:
    """Compute some rows of the network's inputs, as `CalibratedFagdn._inputs` does.

    Args:
        rows, columns: indices into the mosaic, two for each cell, reflected at its borders.
        maps: the result of `_maps`.
        rgb, clipped: the frame's sRGB and clip state.
        peak: largest sRGB code.
        constants: inputs that are constant over the frame, [2].
        planes: the result, [INPUTS, rows of cells, w].
    """
    count = columns.size // 2
    here = np.empty((11, count), np.float32)
    fused, variance = np.empty(count, np.float32), np.empty(count, np.float32)
    per_sigma = np.empty(count, np.float32)
    states = np.empty(count, np.uint8)
    for row in range(rows.size):
        y, into = rows[row], row // 2
        for dx in range(2):
            position = 2 * (row % 2) + dx
            for number in range(11):
                _take(maps[number][y], columns, dx, here[number])
            _take(clipped[y], columns, dx, states)
            for channel in range(3):
                code = planes[4 * channel + position, into]
                _take(rgb[y, :, channel], columns, dx, code)
                for i in range(count):
                    code[i] = code[i] / peak - _HALF
                state = planes[12 + 4 * channel + position, into]
                for i in range(count):
                    state[i] = np.float32((states[i] >> channel) & 1)
            _fill_inputs_at(here, fused, variance, per_sigma, position, planes, into)
    for number in range(48, 53):
        sums = planes[number].reshape(-1)
        for i in range(sums.size):
            sums[i] = _QUARTER * log(_QUARTER * sums[i])
    planes[53] *= _TENTH * _QUARTER
    planes[58] = constants[0]
    planes[59] = constants[1]


@inline
def _take(source: NDArray[Any], columns: NDArray[np.uint64], dx: int, result: NDArray[Any]) -> None:
    """Take the values at one position of a row's cells."""
    # Only the reflected columns at both ends need a lookup; between them, columns are in order.
    # The first entry of `columns` is the number of columns added before the mosaic.
    shift = dx - np.int64(columns[0])
    start = 1 if shift < 0 else 0
    stop = (source.size - shift + 1) // 2
    for i in range(start):
        result[i] = source[columns[2 * i + dx]]
    for i in range(start, stop):
        result[i] = source[2 * i + shift]
    for i in range(stop, result.size):
        result[i] = source[columns[2 * i + dx]]


@inline
def _fill_inputs_at(
    here: Array,
    fused: Array,
    variance: Array,
    per_sigma: Array,
    position: int,
    planes: Array,
    into: int,
) -> None:
    """Fill the planes that depend on the candidates, at one position of a row's cells.

    Args:
        here: `maps` there.
        fused, variance, per_sigma: overwritten.
        position, planes, into: the position in the cell, and the row of `planes` to fill.
    """
    _blend(here, fused, variance, per_sigma)
    for k in range(6):
        _fill_squashed(
            here[k if k < 4 else 4 + k], fused, per_sigma, planes[24 + 4 * k + position, into]
        )
    tone = planes[54 + position, into]
    for i in range(tone.size):
        tone[i] = np.sqrt(max(fused[i], _0)) - _HALF
    for k in range(3):
        _fill_ratios(here[9 - k if k < 2 else 3], here[0], planes[60 + 4 * k + position, into])
    for k in range(5):
        _add_ratio(here[4 + k if k < 4 else 10], variance, planes[48 + k, into], position == 0)
    sigma = planes[53, into]
    for i in range(sigma.size):
        logarithm = _HALF * log(variance[i])
        sigma[i] = logarithm if position == 0 else sigma[i] + logarithm


@inline
def _blend(here: Array, fused: Array, variance: Array, per_sigma: Array) -> None:
    """See `rvdtool.network.calibrated.fuse_planes`; `per_sigma` is 1 / σ."""
    a0, a1, a2, a3 = here[0], here[1], here[2], here[3]
    u0, u1, u2, u3 = here[4], here[5], here[6], here[7]
    fine = here[10]
    for i in range(fused.size):
        v0, v3 = max(u0[i], _SMALLEST), max(u3[i], _SMALLEST)
        p0, p1, p2 = _1 / v0, _1 / max(u1[i], _SMALLEST), _1 / max(u2[i], _SMALLEST)
        value, total, share = _fuse(a0[i], a1[i], a2[i], a3[i], p0, p1, p2, _1 / v3, fine[i])
        expected = max((_1 - share) * (min(_3 / total, v0) + fine[i]), _SMALLEST)
        fused[i] = value
        variance[i] = expected
        per_sigma[i] = _1 / np.sqrt(expected)


@inline
def _fill_squashed(other: Array, fused: Array, per_sigma: Array, result: Array) -> None:
    """0.5 · asinh of differences in units of σ."""
    for i in range(result.size):
        x = (other[i] - fused[i]) * per_sigma[i]
        size = abs(x)
        root = _HALF * log(size + np.sqrt(size * size + _1))
        result[i] = root if x >= _0 else -root


@inline
def _fill_ratios(other: Array, fit: Array, result: Array) -> None:
    """Logarithms of the ratio of a warped fit to the fit."""
    for i in range(result.size):
        ratio = (max(other[i], _0) + _HUNDREDTH) / (max(fit[i], _0) + _HUNDREDTH)
        result[i] = _5 * min(max(log(ratio), -_1), _1)


@inline
def _add_ratio(variance: Array, total_variance: Array, result: Array, first: bool) -> None:
    """Add up a variance in units of σ² over the positions of a cell."""
    for i in range(result.size):
        ratio = max(variance[i], _SMALLEST) / total_variance[i]
        result[i] = ratio if first else result[i] + ratio


@kernel
def _fuse_rows(
    first_row: int,
    last_row: int,
    maps: tuple[Array, ...],
    clipped: NDArray[np.uint8],
    changes: Array,
    top: np.int64,
    padding: NDArray[np.int64],
    value: Array,
) -> None:
    """Fuse some rows with the network's changes, as `CalibratedFagdn.forward` does.

    Args:
        first_row, last_row: range of rows of `value`.
        maps: the result of `_maps`.
        clipped: the frame's clip state.
        changes: the network's output for these rows, [rows of cells, w, 4 · 5]: candidates and
            correction, then position.
        top: row of cells where `changes` begins.
        padding: rows added above and columns added left of the mosaic.
        value: the result, [H, W].
    """
    outputs = np.empty((CANDIDATES + 1, value.shape[1]), np.float32)
    for y in range(first_row, last_row):
        for dx in range(2):
            position = 2 * ((y + padding[0]) % 2) + (dx + padding[1]) % 2
            cells = changes[(y + padding[0]) // 2 - top, (dx + padding[1]) // 2 :]
            for k in range(CANDIDATES + 1):
                _take_output(cells, 4 * k + position, outputs[k, dx:])
        a0, a1, a2, a3 = maps[0][y], maps[1][y], maps[2][y], maps[3][y]
        u0, u1, u2, u3 = maps[4][y], maps[5][y], maps[6][y], maps[7][y]
        fine_variance, state, result = maps[10][y], clipped[y], value[y]
        for x in range(result.size):
            v0, v1 = max(u0[x], _SMALLEST), max(u1[x], _SMALLEST)
            v2, v3 = max(u2[x], _SMALLEST), max(u3[x], _SMALLEST)
            fit, anchored, previous, warped = a0[x], a1[x], a2[x], a3[x]
            fine = fine_variance[x]
            p0, p1, p2, p3 = _1 / v0, _1 / v1, _1 / v2, _1 / v3
            fused, total, share = _fuse(fit, anchored, previous, warped, p0, p1, p2, p3, fine)
            sigma = np.sqrt(max((_1 - share) * (min(_3 / total, v0) + fine), _SMALLEST))
            p0, p1 = p0 * _factor(outputs[0, x]), p1 * _factor(outputs[1, x])
            p2, p3 = p2 * _factor(outputs[2, x]), p3 * _factor(outputs[3, x])
            combined, _, _ = _fuse(fit, anchored, previous, warped, p0, p1, p2, p3, fine)
            combined += sigma * outputs[4, x]
            uncertain = state[x] > 0 and fine >= _UNTOLD
            combined = _HALF * (fused + combined) if uncertain else combined
            slack = _BEYOND * sigma
            low = min(min(fit, anchored), min(previous, warped)) - slack
            high = max(max(fit, anchored), max(previous, warped)) + slack
            result[x] = min(max(combined, low), high)


@inline
def _take_output(cells: Array, number: int, result: Array) -> None:
    """Take one output of the network; every second element of the result is filled."""
    for i in range((result.size + 1) // 2):
        result[2 * i] = cells[i, number]


@inline
def _factor(change: np.float32) -> np.float32:
    """exp(s · tanh(change / s)), s = `_STEEPEST`."""
    return exp(_STEEPEST - _2 * _STEEPEST / (exp(_2 / _STEEPEST * change) + _1))


@inline
def _fuse(
    a0: np.float32,
    a1: np.float32,
    a2: np.float32,
    a3: np.float32,
    p0: np.float32,
    p1: np.float32,
    p2: np.float32,
    p3: np.float32,
    fine: np.float32,
) -> tuple[np.float32, np.float32, np.float32]:
    """Fused value, total precision of the first three candidates, and weight of the warped RAW."""
    total = p0 + p1 + p2
    blend = (p0 * a0 + p1 * a1 + p2 * a2) / total
    ratio = (_1 / total + fine) * p3
    share = ratio / (ratio + _1)
    return blend + share * (a3 - blend), total, share
