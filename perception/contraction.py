"""The two small steps that convolutions and their gradients are made of, in the processor's vector registers.

    out[r, :] = start[r, :] + sum over l, k of a[r, l, k] b[l, k, :]

with a few rows r, and for columns a few vectors of 16 numbers: all sums stay in registers until they are done. This is
how libraries multiply matrices, too (Goto & van de Geijn 2008); here the rows of a may be anywhere, so nothing has to
be packed first. How far apart everything lies is known when a step is compiled.

    out = (pixels - mean) scale

for 16 pixels at once.
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
LATENCY = 6  # cycles between two products of one sum, two of others in each: fewer, and a processor has to wait
NEAR = 32 * 1024  # bytes that lie in the nearest cache and leave room for others; the next brings half a vector a cycle
FLOATS = types.Array(types.float32, 1, "C")


class Tile(NamedTuple):
    """What is computed by one step: rows, `over` times `beside`, and vectors of LANES columns."""

    over: int
    beside: int
    vectors: int

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.over * self.beside


class Plan(NamedTuple):
    """A step, but for where its arrays are. Distances are in numbers.

    Attributes:
        tile: rows and columns.
        lines, run: how many l and k there are.
        start: from a row to the one below in `over`, and in `beside`; 0 for the same in all.
        a: likewise, and from an l to the next, and from a k.
        b: from an l to the next, and from a k; columns follow each other.
        out: as `start`, which it may be.
    """

    tile: Tile
    lines: int
    run: int
    start: tuple[int, int]
    a: tuple[int, int, int, int]
    b: tuple[int, int]
    out: tuple[int, int]


@cache
def best_tile(over: int, beside: int, columns: int, length: int, dividing: bool = False) -> Tile:
    """Choose how this processor's registers are best used.

    Args:
        over: how many rows there are; the last tile may overlap the one before.
        beside: how many in each of these, likewise.
        columns: how many there are, a multiple of LANES; tiles divide them.
        length: how many products each sum has.
        dividing: tiles must divide the rows, too.
    """
    features = _features()
    avx512, avx, neon = (32, 1), (16, 2), (32, 4)  # registers, and how many of them a vector takes
    registers, each = avx512 if "+avx512f" in features else avx if "+avx" in features else neon
    far = 4 * length * columns > NEAR

    def fits(tile: Tile) -> bool:  # the sums, a row of b and a number of a
        return (tile.rows + 1) * tile.vectors * each < registers

    def cycles(tile: Tile) -> float:
        count = math.ceil(over / tile.over) * math.ceil(beside / tile.beside) * (columns // (LANES * tile.vectors))
        vectors = tile.vectors * each
        once = max(tile.rows * vectors / 2, (tile.rows + vectors) / 2, LATENCY) + vectors * far / 2
        return count * (length * once + tile.rows * vectors)

    tiles = [
        Tile(some, few, vectors)
        for vectors in range(1, columns // LANES + 1)
        if columns % (LANES * vectors) == 0
        for some in range(1, over + 1)
        if not (dividing and over % some)
        for few in range(1, beside + 1)
        if not (dividing and beside % few)
    ]
    return min(filter(fits, tiles), key=cycles)


def fast() -> bool:
    """Whether steps are what this processor is good at: it multiplies and adds at once, in registers of its own."""
    return numba.config.DISABLE_JIT == 0 and not {"+fma", "+neon"}.isdisjoint(_features())  # type: ignore[attr-defined]


@cache
def _features() -> list[str]:
    """Name what the processor that is compiled for can do and can't: +avx, -avx512f."""
    features: str = cpu_target.target_context.codegen().magic_tuple()[2]
    return features.split(",")


def contraction(plans: tuple[Plan, ...], rectified: bool = False) -> Any:
    """Make the step for some plans, to be called in compiled code. Arrays are flat float32, places in numbers.

    If it is rectified, max(out, 0) is written. NaN stays.

    Its arguments:
        which: of the plans.
        start, start_at: the array, and where the first row begins.
        a, a_at, b, b_at, out, out_at: likewise.
    """
    at = types.intp

    def step(
        typing: Any, which: Any, start: Any, start_at: Any, a: Any, a_at: Any, b: Any, b_at: Any, out: Any, out_at: Any
    ) -> Any:
        if any(array != FLOATS for array in (start, a, b, out)):
            return None  # numbers of another kind would be taken for these
        return types.void(at, start, at, a, at, b, at, out, at), generate

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> None:
        which, *others = _pointers(context, builder, signature, args)
        done = builder.append_basic_block()
        choice = builder.switch(which, done)
        for i, plan in enumerate(plans):
            block = builder.append_basic_block()
            choice.add_case(i, block)
            builder.position_at_end(block)
            _write(builder, plan, rectified, *others)
            builder.branch(done)
        builder.position_at_end(done)

    return intrinsic(step)


def _pointers(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    return [
        context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, args, strict=True)
    ]


def _write(
    builder: Any,
    plan: Plan,
    rectified: bool,
    start: Any,
    start_at: Any,
    a: Any,
    a_at: Any,
    b: Any,
    b_at: Any,
    out: Any,
    out_at: Any,
) -> None:
    """Write the instructions for one plan: every row and vector has its own, and there are loops over l and k."""
    vector = ir.VectorType(ir.FloatType(), LANES)
    zeros = ir.Constant(vector, [0.0] * LANES)
    tools: Any = cgutils  # without types
    kind = ir.FunctionType(vector, [vector] * 3)
    multiply_add = tools.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")

    def number(value: int) -> Any:
        return ir.Constant(start_at.type, value)

    def vectors(array: Any, at: Any, further: int) -> list[Any]:
        places = [builder.add(at, number(further + v * LANES)) for v in range(plan.tile.vectors)]
        return [builder.bitcast(builder.gep(array, [each]), vector.as_pointer()) for each in places]

    rows = [(i, j) for i in range(plan.tile.over) for j in range(plan.tile.beside)]
    sums = [[tools.alloca_once(builder, vector) for _ in range(plan.tile.vectors)] for _ in rows]  # will be registers
    for (i, j), totals in zip(rows, sums, strict=True):
        for total, pointer in zip(totals, vectors(start, start_at, i * plan.start[0] + j * plan.start[1]), strict=True):
            builder.store(builder.load(pointer, align=4), total)
    with (
        tools.for_range(builder, number(plan.lines)) as line,
        tools.for_range(builder, number(plan.run)) as k,
    ):
        a_here, b_here = (
            builder.add(
                builder.add(at, builder.mul(line.index, number(by_line))), builder.mul(k.index, number(by_step))
            )
            for at, (by_line, by_step) in ((a_at, plan.a[2:]), (b_at, plan.b))
        )
        factors = [builder.load(pointer, align=4) for pointer in vectors(b, b_here, 0)]
        for (i, j), totals in zip(rows, sums, strict=True):
            place = builder.add(a_here, number(i * plan.a[0] + j * plan.a[1]))
            same = _everywhere(builder, builder.load(builder.gep(a, [place])))
            for total, factor in zip(totals, factors, strict=True):
                builder.store(builder.call(multiply_add, [same, factor, builder.load(total)]), total)
    for (i, j), totals in zip(rows, sums, strict=True):
        for total, pointer in zip(totals, vectors(out, out_at, i * plan.out[0] + j * plan.out[1]), strict=True):
            value = builder.load(total)
            if rectified:
                value = builder.select(builder.fcmp_ordered("<", value, zeros), zeros, value)
            builder.store(value, pointer, align=4)


def _everywhere(builder: Any, number: Any) -> Any:
    """Fill a vector with a number."""
    nowhere = ir.Constant(ir.VectorType(ir.FloatType(), LANES), ir.Undefined)
    first = ir.Constant(ir.IntType(32), 0)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(builder.insert_element(nowhere, number, first), nowhere, lanes)


def _center(
    typing: Any, pixels: Any, pixels_at: Any, mean: Any, mean_at: Any, scale: Any, out: Any, out_at: Any
) -> Any:
    """Write out = (pixels - mean) scale for LANES pixels, to be called in compiled code.

    Arrays are flat, pixels uint8 and the others float32, each with the place where it begins.
    """
    if (pixels, mean, out) != (types.Array(types.uint8, 1, "C"), FLOATS, FLOATS):
        return None
    at = types.intp

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> None:
        floats, bytes_ = (ir.VectorType(kind, LANES) for kind in (ir.FloatType(), ir.IntType(8)))
        pixels, pixels_at, mean, mean_at, scale, out, out_at = _pointers(context, builder, signature, args)

        def there(array: Any, at: Any, kind: Any) -> Any:
            return builder.bitcast(builder.gep(array, [at]), kind.as_pointer())

        seen = builder.uitofp(builder.load(there(pixels, pixels_at, bytes_), align=1), floats)
        difference = builder.fsub(seen, builder.load(there(mean, mean_at, floats), align=4))
        builder.store(builder.fmul(difference, _everywhere(builder, scale)), there(out, out_at, floats), align=4)

    return types.void(pixels, at, mean, at, types.float32, out, at), generate


center: Any = intrinsic(_center)
