"""The table that tests/radv_kernels.py prints of a family: products, the loss and attention, each in its best tile."""
import typing

LAYOUTS = {1: "nn", 3: "nt", 0: "tn"}  # SPEC_VARIANT of matmul_tiled.comp
UNSCALED = 3  # SPEC_EPILOGUE: sums as they are

HEADER = """\
| family | kernels | tile | VGPRs | LDS, KiB | subgroups per SIMD | inverse throughput, cycles | FMA share |
|---|---|---|---|---|---|---|---|"""


class Row(typing.NamedTuple):
    label: str
    tile: str
    kernels: list  # in the order that the label names them


def select(kernels, name, **constants):
    return [k for k in kernels if k["name"] == name and constants.items() <= k["constants"].items()]


def best_tile(kernels, forms):
    """-> the tile in which the loops of these forms, pairs of a name and its constants, are multiply-adds for the most part - the largest
    where that is not known - and the forms in it."""
    def group(tile):
        return [select(kernels, name, rows=tile, **constants)[0] for name, constants in forms]

    tile = max((32, 64, 128), key=lambda tile: (sum(k.get("fma_share", 0) for k in group(tile)), tile))
    return f"{tile} x {tile}", group(tile)


def rows(kernels):
    """f32, and f16 in 16-bit memory where the family has matrices."""
    found = []
    for number, suffix, half in (("f32", "tiled", 0), ("f16", "coopmat_f16", 1)):
        if not select(kernels, f"matmul_{suffix}"):
            continue

        def types(operands):
            return {f"{operand}_type": half for operand in operands if half}

        plain = {"epilogue": UNSCALED, "nonlinearity": 0} | types("abc")
        products = [(f"matmul_{suffix}", {"variant": variant} | plain) for variant in LAYOUTS]
        found.append(Row(f"product, {number}: " + " / ".join(LAYOUTS.values()), *best_tile(kernels, products)))
        loss = [(f"loss_logits_{suffix}", {"variant": 0} | types("ab")), (f"loss_recompute_{suffix}", types("ab"))]
        found.append(Row(f"loss, {number}: logits / recompute", *best_tile(kernels, loss)))
        attention = [select(kernels, f"{name}_{suffix}", head_width=64, **types("ac"))[0]
                     for name in ("attention", "attention_d_kv", "attention_d_q")]
        found.append(Row(f"attention, {number}: forward / d_kv / d_q", "E 64", attention))
    return found


def per_cent(kernels):
    if any("fma_share" not in k for k in kernels):
        return ""
    return " / ".join(f"{100 * k['fma_share']:.0f}" for k in kernels) + " %"


def lines(family, kernels):
    """Those below HEADER."""
    for row in rows(kernels):
        def cell(show):
            return " / ".join(show(k) for k in row.kernels)

        columns = [family, row.label, row.tile, cell(lambda k: f"{k['vgprs']}"), cell(lambda k: f"{k['lds_bytes'] / 1024:.1f}"),
                   cell(lambda k: f"{k['subgroups_per_simd']}"), cell(lambda k: f"{k['inverse_throughput']:,}"), per_cent(row.kernels)]
        yield "| " + " | ".join(columns) + " |"
