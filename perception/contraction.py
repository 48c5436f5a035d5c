"""The one small step that convolutions and their gradients are made of, its sums kept in the processor's registers.

    out[r, :] = start[r, :] + sum over l, k of a[r, l, k] b[l, k, :]

with a few rows r, and for columns a few vectors of 16 numbers. This is how libraries multiply matrices, too (Goto &
van de Geijn 2008); here the rows of a may be anywhere, so nothing has to be packed first.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

LANES = 16  # numbers of a vector; a processor with shorter ones takes several for it
BUSY = 10  # sums that keep a processor multiplying, each of which takes it a few cycles


class Tile(NamedTuple):
    """What is computed by one step: rows, and vectors of LANES columns."""

    rows: int
    vectors: int


@cache
def best_tile(rows: int, columns: int, dividing: bool = False) -> Tile:
    """Choose how this processor's registers are best used.

    Args:
        rows: how many there are. The last tile may overlap the one before.
        columns: how many there are, a multiple of LANES; tiles divide them.
        dividing: tiles must divide the rows, too.
    """
    features = _features()
    avx512, avx, neon = (32, 1), (16, 2), (32, 4)  # registers, and how many of them a vector takes
    registers, each = avx512 if "+avx512f" in features else avx if "+avx" in features else neon

    def fits(tile: Tile) -> bool:  # the sums, a row of b and a number of a
        return (tile.rows + 1) * tile.vectors * each < registers

    def worth(tile: Tile) -> tuple[float, int]:
        sums = tile.rows * tile.vectors * each
        return min(sums, BUSY) * rows / (math.ceil(rows / tile.rows) * tile.rows), sums

    tiles = [
        Tile(some, vectors)
        for vectors in range(1, columns // LANES + 1)
        if columns % (LANES * vectors) == 0
        for some in range(1, rows + 1)
        if not (dividing and rows % some)
    ]
    return max(filter(fits, tiles), key=worth)


def fast() -> bool:
    """Whether steps are what this processor is good at: it multiplies and adds at once, in registers of its own."""
    return numba.config.DISABLE_JIT == 0 and not {"+fma", "+neon"}.isdisjoint(_features())  # type: ignore[attr-defined]


@cache
def _features() -> list[str]:
    """Name what the processor that is compiled for can do and can't: +avx, -avx512f."""
    features: str = cpu_target.target_context.codegen().magic_tuple()[2]
    return features.split(",")


# fmt: off
def contraction(tiles: tuple[Tile, ...], rectified: bool = False) -> Any:
    """Make the step for some tiles, to be called in compiled code. Arrays are flat float32, places in numbers.

    If it is rectified, max(out, 0) is written. NaN stays.

    Its arguments:
        which: of the tiles.
        start, start_at, start_row: where the first row begins, and from a row to the next; 0 for the same in all.
        a, a_at, a_row, a_line, a_step: likewise, for r, l and k.
        lines, run: how many l and k there are.
        b, b_at, b_line, b_step: likewise, for l and k; columns follow each other.
        out, out_at, out_row: as `start`, which it may be.
    """
    at = types.intp

    def step(
        typing: Any, which: Any,
        start: Any, start_at: Any, start_row: Any,
        a: Any, a_at: Any, a_row: Any, a_line: Any, a_step: Any,
        lines: Any, run: Any,
        b: Any, b_at: Any, b_line: Any, b_step: Any,
        out: Any, out_at: Any, out_row: Any,
    ) -> Any:
        if any(array != types.Array(types.float32, 1, "C") for array in (start, a, b, out)):
            return None  # numbers of another kind would be taken for these
        return types.void(at, start, at, at, a, at, at, at, at, at, at, b, at, at, at, out, at, at), generate

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> None:
        which, *others = (
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, args, strict=True)
        )
        done = builder.append_basic_block()
        choice = builder.switch(which, done)
        for i, tile in enumerate(tiles):
            block = builder.append_basic_block()
            choice.add_case(i, block)
            builder.position_at_end(block)
            _write(builder, tile, rectified, *others)
            builder.branch(done)
        builder.position_at_end(done)

    return intrinsic(step)


def _write(
    builder: Any, tile: Tile, rectified: bool,
    start: Any, start_at: Any, start_row: Any,
    a: Any, a_at: Any, a_row: Any, a_line: Any, a_step: Any,
    lines: Any, run: Any,
    b: Any, b_at: Any, b_line: Any, b_step: Any,
    out: Any, out_at: Any, out_row: Any,
) -> None:
    """Write the instructions for one tile: every row and vector has its own, and there are loops over l and k."""
    # fmt: on
    vector = ir.VectorType(ir.FloatType(), LANES)
    nowhere, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    zeros = ir.Constant(vector, [0.0] * LANES)
    tools: Any = cgutils  # without types
    kind = ir.FunctionType(vector, [vector] * 3)
    multiply_add = tools.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")

    def place(origin: Any, *moves: tuple[Any, Any]) -> Any:
        for count, size in moves:
            origin = builder.add(origin, builder.mul(count, size))
        return origin

    def vectors(array: Any, at: Any) -> list[Any]:
        places = [builder.add(at, ir.Constant(at.type, v * LANES)) for v in range(tile.vectors)]
        return [builder.bitcast(builder.gep(array, [each]), vector.as_pointer()) for each in places]

    rows = [ir.Constant(start_at.type, r) for r in range(tile.rows)]
    sums = [[tools.alloca_once(builder, vector) for _ in range(tile.vectors)] for _ in rows]  # will be registers
    for r, totals in zip(rows, sums, strict=True):
        for total, pointer in zip(totals, vectors(start, place(start_at, (r, start_row))), strict=True):
            builder.store(builder.load(pointer, align=4), total)
    with tools.for_range(builder, lines) as line, tools.for_range(builder, run) as k:
        a_here = place(a_at, (line.index, a_line), (k.index, a_step))
        b_here = place(b_at, (line.index, b_line), (k.index, b_step))
        factors = [builder.load(pointer, align=4) for pointer in vectors(b, b_here)]
        for r, totals in zip(rows, sums, strict=True):
            number = builder.load(builder.gep(a, [place(a_here, (r, a_row))]))
            same = builder.shuffle_vector(builder.insert_element(nowhere, number, first), nowhere, everywhere)
            for total, factor in zip(totals, factors, strict=True):
                builder.store(builder.call(multiply_add, [same, factor, builder.load(total)]), total)
    for r, totals in zip(rows, sums, strict=True):
        for total, pointer in zip(totals, vectors(out, place(out_at, (r, out_row))), strict=True):
            value = builder.load(total)
            if rectified:
                value = builder.select(builder.fcmp_ordered("<", value, zeros), zeros, value)
            builder.store(value, pointer, align=4)
