"""The table that tests/drivers/radv_kernels.py prints for a family: matmuls, loss and attention with their best tiles."""
import re
import typing

LAYOUTS = {1: "nn", 3: "nt", 0: "tn"}  # SPEC_VARIANT of matmul_tiled.comp
UNSCALED = 3  # SPEC_EPILOGUE: unscaled sums

HEADER = """\
| family, Mesa | kernels | tile | VGPRs | LDS, KiB | subgroups per SIMD | inverse throughput, cycles | FLOPs per cycle and CU: implied | bound | datasheet | math behind fetches |
|---|---|---|---|---|---|---|---|---|---|---|"""


class Chip(typing.NamedTuple):
    """FLOPs per cycle of a compute unit (CU) and its SIMDs. f32: multiply-adds on 64 lanes, since RDNA 3 two at once (ROCm Compute
    Profiler's page "Workgroup processor": 128 and 256). f16: of the matrix units (GPUOpen, "Using the Matrix Cores of AMD RDNA 4": 512, 1024)."""
    simds: int
    f32: int
    f16: int = 0


CHIPS = {"vega20": Chip(4, 128), "navi10": Chip(2, 128), "navi21": Chip(2, 128), "navi31": Chip(2, 256, 512), "gfx1201": Chip(2, 256, 1024)}
LANES = 64  # of a subgroup, as RADV compiles
MATRIX_FLOPS = 2 * 16 * 16 * 16


def select(kernels, name, **constants):
    return [k for k in kernels if k["name"] == name and constants.items() <= k["constants"].items()]


def loop_bound(kernel, chip):
    """Upper bound of FLOPs per cycle and CU for a matmul's loop, if only vector instructions take time: each as long as
    a multiply-add of all lanes, a matrix instruction as long as in the datasheet. 0 if the loop was not found."""
    turn = kernel.get("loop_turn")
    if not turn:
        return 0.0
    slots_per_cycle = chip.f32 / (2 * LANES)
    slots = turn["instructions"]
    if turn["matrix_products"]:
        slots += turn["matrix_products"] * (MATRIX_FLOPS * slots_per_cycle / chip.f16 - 1)
    return 2 * LANES * turn["multiply_adds"] / slots * slots_per_cycle


def modelled(kernel, chip):
    """FLOPs per cycle and CU, both by RADV's model: those of 64 lanes in the "Inverse Throughput" cycles of a SIMD."""
    return 2 * LANES * kernel["modelled_multiply_adds"] / kernel["inverse_throughput"] * chip.simds


def best_tile(kernels, chip, forms):
    """-> the tile in which the loops of these forms, pairs of a name and its constants, have the highest bound, and the forms in it."""
    def group(tile):
        return [select(kernels, name, rows=tile, **constants)[0] for name, constants in forms]

    tile = max((32, 64, 128), key=lambda tile: sum(loop_bound(k, chip) for k in group(tile)))
    return f"{tile} x {tile}", group(tile)


def rows(kernels, chip):
    """-> (label, FLOPs per cycle of the datasheet, tile, kernels in the order that the label names them), ...: in f32, and in f16 in 16-bit
    memory where the family has matrices."""
    found = []
    for number, suffix, half, rate in (("f32", "tiled", 0, chip.f32), ("f16", "coopmat_f16", 1, chip.f16)):
        if not select(kernels, f"matmul_{suffix}"):
            continue

        def types(operands):
            return {f"{operand}_type": half for operand in operands if half}

        plain = {"epilogue": UNSCALED, "nonlinearity": 0} | types("abc")
        if half:
            plain["transposes"] = 1  # as matmuls on AMD do
        products = [(f"matmul_{suffix}", {"variant": variant} | plain) for variant in LAYOUTS]
        found.append((f"matmul, {number}: " + " / ".join(LAYOUTS.values()), rate, *best_tile(kernels, chip, products)))
        loss = [(f"loss_logits_{suffix}", {"variant": 0} | types("ab")), (f"loss_recompute_{suffix}", types("ab"))]
        found.append((f"loss, {number}: logits / recompute", rate, *best_tile(kernels, chip, loss)))
        attention = [select(kernels, f"{name}_{suffix}", head_width=64, **types("ac"))[0]
                     for name in ("attention", "attention_d_kv", "attention_d_q")]
        found.append((f"attention, {number}: forward / d_kv / d_q", rate, "E 64", attention))
    return found


def mesa_version(device):
    return re.search(r"Mesa (\d+\.\d+)", device["driver"]).group(1)


def least_overlap(label, mesa):
    """Required share of the math that overlaps with fetches. Forward attention in f16 fetches K during one of its two
    matmuls and V during the other, and in f32 each of many stages, but the first, during the previous one. Mesa 25 moves
    registers in some f32 kernels, which then wait."""
    if label.startswith("attention"):
        return 0.4 if "f16" in label else 0.08
    return 0.5 if "f16" in label or float(mesa) >= 26 else 0


def check(family, kernels, device):
    """-> errors in the table. Impossible figures, FLOPs above the datasheet or none: the machine code was parsed wrongly.
    And bad kernels: those that wait for most of their fetches before the math."""
    chip = CHIPS[family]
    for label, rate, _, group in rows(kernels, chip):
        is_attention = label.startswith("attention")
        figures = [modelled(k, chip) for k in group] + ([] if is_attention else [loop_bound(k, chip) for k in group])
        if not all(0 < figure <= rate for figure in figures):
            yield f"{label}: FLOPs per cycle and CU {', '.join(f'{figure:.0f}' for figure in figures)} of {rate}"
        overlaps = [k["fetch_overlap"] for k in group]
        if min(overlaps) < least_overlap(label, mesa_version(device)):
            yield f"{label}: only {', '.join(f'{overlap:.0%}' for overlap in overlaps)} of the math lies behind its fetches"


def lines(family, kernels, device):
    """Those below HEADER."""
    chip = CHIPS[family]
    for label, rate, tile, group in rows(kernels, chip):
        def cell(show):
            return " / ".join(show(k) for k in group)

        bound = cell(lambda k: f"{loop_bound(k, chip):.0f}") if all(loop_bound(k, chip) for k in group) else ""
        columns = [f"{family}, {mesa_version(device)}", label, tile, cell(lambda k: f"{k['vgprs']}"), cell(lambda k: f"{k['lds_bytes'] / 1024:.1f}"),
                   cell(lambda k: f"{k['subgroups_per_simd']}"), cell(lambda k: f"{k['inverse_throughput']:,}"),
                   cell(lambda k: f"{modelled(k, chip):.0f}"), bound, f"{rate:,}", cell(lambda k: f"{k['fetch_overlap']:.0%}")]
        yield "| " + " | ".join(columns) + " |"
