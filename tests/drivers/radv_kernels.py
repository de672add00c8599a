#!/usr/bin/env python3
"""Compiles every kernel that training uses with AMD's compiler, without a GPU: Mesa's RADV simulates a device of any
family (null hardware). A kernel that does not compile, or spills registers, fails.

Usage: radv_kernels.py [--mesa26] FAMILY...    of those in radv_table.CHIPS

--mesa26: the RADV of Mesa 26.1 (tools/scripts/with_mesa26.sh), which has no null hardware; tests/drivers/amd_card.cpp
simulates the GPU.

Prints a line a family, then the table of tools/bench/RESULTS.md. The program is $LAPILLI, default build/lapilli; the installed driver's file
$LAPILLI_RADV_ICD, default where Mesa puts it. Exit code 77 where there is no RADV, or it has no null hardware.
"""
import glob
import json
import os
import pathlib
import re
import subprocess
import sys

import radv_table
from radv_table import LAYOUTS, select

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAPILLI = os.environ.get("LAPILLI", str(ROOT / "build" / "lapilli"))
NONLINEARITIES = (1, 2, 3, 4, 5, 6)  # SPEC_NONLINEARITY: kGelu and those after it
# Matrix units in every Mesa that Lapilli supports, and in Mesa 26.1. Others are checked if a Mesa has them.
MATRICES = {"navi31": ("f16",)}
MATRICES_MESA26 = MATRICES | {"gfx1201": ("f16", "bf16")}
# The first is ours, the second RADV's.
NO_NULL_HARDWARE = ("no Vulkan device was found", "Unknown family")


class Skip(Exception):
    pass


class Failure(Exception):
    pass


def find_driver():
    found = os.environ.get("LAPILLI_RADV_ICD") or next(iter(sorted(glob.glob("/usr/share/vulkan/icd.d/radeon_icd*.json"))), "")
    if not found:
        raise Skip("no RADV here: package mesa-vulkan-drivers has it")
    return found


def command_for(family, mesa26):
    """-> what runs the program on a device of the family, and its environment."""
    # Without Mesa's shader cache: they must be compiled now.
    environment = os.environ | {"MESA_SHADER_CACHE_DISABLE": "true"}
    if mesa26:
        return [str(ROOT / "tools" / "scripts" / "with_mesa26.sh"), "--card", family, LAPILLI], environment
    driver = find_driver()
    return [LAPILLI], environment | {"RADV_FORCE_FAMILY": family, "VK_DRIVER_FILES": driver, "VK_ICD_FILENAMES": driver}


def compile_kernels(family, mesa26):
    """The output of `lapilli bench kernels --json`: the kernels and the device."""
    command, environment = command_for(family, mesa26)
    done = subprocess.run(command + ["bench", "kernels", "--json"], env=environment, capture_output=True, text=True)
    if mesa26 and done.returncode == 77:
        raise Skip(done.stderr.strip().splitlines()[-1])
    if done.returncode != 0 and not mesa26 and any(sentence in done.stderr for sentence in NO_NULL_HARDWARE):
        raise Skip(f"RADV here has no null hardware {family} (old Mesa lacks the newest families, Mesa 26 all of them)")
    if done.returncode != 0:
        raise Failure(f"lapilli ended with {done.returncode}: {done.stderr.strip()}")
    for line in dict.fromkeys(done.stderr.splitlines()):  # LLVM warns for each kernel that the family is unknown
        print(line, file=sys.stderr)  # includes messages of the validation layer
    report = json.loads(done.stdout)
    if "Null hardware" not in report["device"]["name"]:
        raise Skip(f"RADV here has no null hardware, only {report['device']['name']}")
    return report["kernels"], report["device"]


def describe(kernel):
    return kernel["name"] + " " + json.dumps(kernel["constants"]).replace('"', "")


def built_kernels():
    """Names of the kernels in this build: those with cooperative matrices need a newer shader compiler than a system may have."""
    return re.findall(r'\{"(\w+)", k_', (pathlib.Path(LAPILLI).parent / "shaders" / "embedded.cpp").read_text())


def check(family, kernels, device, matrices):
    """Raises Failure naming every kernel that spills, or a form that was not compiled; or when not all of `matrices` are offered."""
    missing = [kind for kind in matrices if not device[f"matrix_{kind}"]]
    if missing:
        raise Failure(f"{device['driver']} offers no {' and '.join(missing)} matrices for {family}")
    spilling = [k for k in kernels if k["spilled_registers"] > 0 or k["scratch_bytes"] > 0]
    if spilling:
        raise Failure("\n".join(f"{describe(k)}: {k['spilled_registers']} registers spilled, {k['scratch_bytes']} bytes of scratch, "
                                f"{k['vgprs']} VGPRs" for k in spilling))
    # All kernels but those for CPU drivers and benches; `add` is only used by tests.
    wanted = [(name, {}) for name in built_kernels() if "_cpu" not in name and "_coopmat" not in name and not name.startswith("bench_") and name != "add"]
    wanted += [("matmul_tiled", {"rows": tile, "variant": variant}) for tile in (32, 64, 128) for variant in LAYOUTS]
    wanted += [("matmul_tiled", {"rows": tile, "nonlinearity": f}) for tile in (32, 64, 128) for f in NONLINEARITIES]
    wanted += [("loss_logits_tiled", {"rows": tile, "variant": variant}) for tile in (32, 64, 128) for variant in range(4)]
    wanted += [("loss_recompute_tiled", {"rows": tile}) for tile in (32, 64, 128)]
    wanted += [(name, {"head_width": width}) for width in (32, 64, 128, 256)
               for name in ("attention_tiled", "attention_d_kv_tiled", "attention_d_q_tiled")]
    for kind, half in (("f16", 1), ("bf16", 2)):
        if device[f"matrix_{kind}"] and f"matmul_coopmat_{kind}" in built_kernels():
            # In 16-bit memory: matmuls of all combinations of types, and the other training kernels.
            wanted += [(f"matmul_coopmat_{kind}", {"variant": variant, "a_type": a, "b_type": b, "c_type": c})
                       for variant in LAYOUTS for a in (0, half) for b in (0, half) for c in (0, half)]
            wanted += [(f"matmul_coopmat_{kind}", {"rows": tile, "c_type": c, "nonlinearity": f})
                       for tile in (32, 64, 128) for c in (0, half) for f in NONLINEARITIES]
            wanted += [(name, {"c_type": half}) for name in ("norm_forward", "gelu_forward", "swiglu_forward", "dropout", "adamw", "loss_gather")]
            wanted += [(name, {"a_type": half}) for name in ("norm_backward", "column_sum")]
            wanted += [(f"matmul_coopmat_{kind}", {"rows": tile, "variant": variant, "transposes": transposes})
                       for tile in (32, 64, 128) for variant in LAYOUTS for transposes in (0, 1)]
            # The loss and attention, in f32 memory and in 16 bits.
            for memory in (0, half):
                wanted += [(f"loss_logits_coopmat_{kind}", {"rows": tile, "variant": variant, "a_type": memory, "b_type": memory})
                           for tile in (32, 64, 128) for variant in range(4)]
                wanted += [(f"loss_recompute_coopmat_{kind}", {"rows": tile, "a_type": memory, "b_type": memory}) for tile in (32, 64, 128)]
                wanted += [(f"{name}_coopmat_{kind}", {"head_width": width, "a_type": memory, "c_type": memory}) for width in (64, 128)
                           for name in ("attention", "attention_d_kv", "attention_d_q")]
    missing = [describe({"name": name, "constants": constants}) for name, constants in wanted if not select(kernels, name, **constants)]
    if missing:
        raise Failure("not compiled: " + ", ".join(missing))
    impossible = list(radv_table.check(family, kernels, device))
    if impossible:
        raise Failure("\n".join(impossible))


def line(family, kernels, device):
    lowest = min(kernels, key=lambda k: k["subgroups_per_simd"])
    return (f"radv {family}: {len(kernels)} kernels, 0 spilled; fewest subgroups per SIMD {lowest['subgroups_per_simd']} "
            f"({lowest['name']}, {lowest['vgprs']} VGPRs); {device['driver']} offers "
            + (" and ".join(kind for kind in ("f16", "bf16") if device[f"matrix_{kind}"]) or "no") + " matrices")


def main(arguments):
    mesa26 = "--mesa26" in arguments
    code = 0
    table = []
    for family in (argument for argument in arguments if argument != "--mesa26"):
        try:
            kernels, device = compile_kernels(family, mesa26)
            check(family, kernels, device, (MATRICES_MESA26 if mesa26 else MATRICES).get(family, ()))
            print(line(family, kernels, device))
            table += radv_table.lines(family, kernels, device)
        except Failure as failure:
            print(f"radv {family}: FAILED\n{failure}")
            code = 1
        except Skip as reason:
            print(reason)
            code = code or 77
            break
    if table:
        print(radv_table.HEADER, *table, sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
