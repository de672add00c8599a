#!/usr/bin/env python3
"""Checks that the folders are layers: who may include what, and the few things only one file may do.

Usage: check_layers.py [ROOT]    exit 0 clean; 1 with a line "file:line: what is wrong" for each finding
"""
import pathlib
import re
import subprocess
import sys

# Who may include whom: folder -> folders (or single files) its code may include. This list is the architecture.
MAY_INCLUDE = {
    "shaders": ["shaders", "engine/access.h"],  # the C++ half of args.h holds slices
    "engine/base": ["engine/base"],
    "engine": ["engine", "shaders/args.h", "shaders/embedded.h"],
    "tokenizer": ["tokenizer", "engine/base"],
    "model": ["model", "engine", "tokenizer", "shaders/args.h"],
    "tools": ["tools", "model", "engine", "tokenizer", "shaders/args.h"],
    "tests": ["tests", "tools", "model", "engine", "tokenizer", "shaders/args.h"],
}
KNOWS_VULKAN = ("engine", "tests")  # and not engine/base
KNOWS_SENTENCEPIECE = ("tokenizer", "tests")
# Barriers are derived from declared reads and writes in the first; the second is how they are written, and puts them around what is run once.
BARRIERS = ("engine/program.cpp", "engine/command_buffer.cpp", "engine/command_buffer.h")
TOP_LEVEL = "engine shaders model tokenizer tools tests CMakeLists.txt README.md LICENSE".split()

CODE = {".cpp", ".h", ".hpp", ".cc", ".inl"}
SHADER = {".comp", ".glsl"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
VULKAN_HEADER = re.compile(r"^vulkan/|^vk_|(?:^|/)vulkan\.h(?:pp)?$")  # Vulkan's own, or our wrapper of it
VULKAN_CALL = re.compile(r"\bvk[A-Z]\w*\s*\(")
BARRIER_CALL = re.compile(r"\b(?:vkCmdPipelineBarrier2?(?:KHR)?|order_work|show_to_host)\b")
GETENV_CALL = re.compile(r"\b(?:secure_)?getenv\b")
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def without_comments(text):
    """Blanks comments and keeps line numbers; strings stay, because #include needs them."""
    blank = lambda match: match.group(0) if match.group(0)[0] == '"' else re.sub(r"[^\n]", " ", match.group(0))
    return COMMENT_OR_STRING.sub(blank, text)


def without_strings(line):
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', line)


def git_files(root, *options):
    command = ["git", "-c", "safe.directory=*", "-C", str(root), "ls-files", "-z", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]


def layer_of(path):
    """The layer that a path belongs to: the longest folder in MAY_INCLUDE that holds it, or None."""
    return max((layer for layer in MAY_INCLUDE if path.startswith(layer + "/")), key=len, default=None)


def resolve(root, includer, name):
    """Path of an included file of ours, relative to the root, or None for somebody else's (or a generated one)."""
    for folder in (root / includer).parent, root:
        path = pathlib.Path(folder, name).resolve()
        if path.is_file() and path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return name if layer_of(name) else None  # named like ours though not there: judge it by its name


def allowed(layer, included):
    return any(included == target or included.startswith(target + "/") for target in MAY_INCLUDE[layer])


def check_include(root, path, layer, name):
    """-> what is wrong with `path` including `name`, or None"""
    folder = path.split("/")[0]
    if VULKAN_HEADER.search(name) and (folder not in KNOWS_VULKAN or layer == "engine/base"):
        return f"{layer}/ knows no Vulkan, yet includes {name}"
    if name.startswith("sentencepiece") and folder not in KNOWS_SENTENCEPIECE:
        return f"{layer}/ knows no SentencePiece, yet includes {name}"
    included = resolve(root, path, name)
    if included and not allowed(layer, included):
        return f"{layer}/ may not include {included}; it may include: {', '.join(MAY_INCLUDE[layer])}"
    return None


def findings(root):
    once = {"SentencePiece is included": [], "getenv is called": []}  # fact -> places; each belongs in one file
    tracked = git_files(root)
    for path in sorted(set(tracked + git_files(root, "--others", "--exclude-standard"))):
        suffix = pathlib.PurePosixPath(path).suffix
        layer = layer_of(path)
        if layer is None or suffix not in CODE | SHADER or not (root / path).is_file():
            continue
        text = without_comments((root / path).read_text(encoding="utf-8", errors="replace"))
        for number, line in enumerate(text.splitlines(), start=1):
            where = f"{path}:{number}"
            include = INCLUDE.match(line)
            if include:
                problem = check_include(root, path, layer, include.group(2))
                if problem:
                    yield f"{where}: {problem}"
                if include.group(2).startswith("sentencepiece") and layer == "tokenizer":
                    once["SentencePiece is included"].append(where)
                continue
            code = without_strings(line)
            if layer == "model" and VULKAN_CALL.search(code):
                yield f"{where}: model/ calls Vulkan directly; that belongs in engine/: {code.strip()}"
            if BARRIER_CALL.search(code) and path not in BARRIERS:
                yield f"{where}: a barrier by hand; barriers are derived in {BARRIERS[0]} only"
            if layer != "tests" and GETENV_CALL.search(code):  # the program's; amd_card.cpp is no part of it
                once["getenv is called"].append(where)
    for fact, places in once.items():
        files = sorted({place.rsplit(":", 1)[0] for place in places})
        if len(files) > 1:
            for place in places:
                yield f"{place}: {fact} in {len(files)} files ({', '.join(files)}); one file should do it for all"
    for entry in sorted({path.split("/")[0] for path in tracked}):
        if entry not in TOP_LEVEL and not entry.startswith("."):
            yield f"{entry}:1: does not belong at the top; only these do: {' '.join(TOP_LEVEL)}"


def main(arguments):
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent).resolve()
    try:
        problems = list(findings(root))
    except (subprocess.CalledProcessError, FileNotFoundError):
        print(f"{root} is not a git checkout, or git is missing; the files to check are not known")
        return 77  # ctest counts it as skipped
    print("\n".join(problems) or "the layers hold")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
