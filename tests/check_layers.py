#!/usr/bin/env python3
"""Checks that the folders are layers: the allowed includes, and a few rules for single files.

Usage: check_layers.py [ROOT]    exit 0 clean; 1 with a line "file:line: what is wrong" for each finding
"""
import pathlib
import re
import subprocess
import sys

# The subfolders of each layer, in order: each may include itself and those before it. With MAY_INCLUDE this is the
# architecture.
ORDER = {
    "engine": ["base", "vulkan", "memory", "kernel", "program", "tuning"],
    "shaders": ["common", "ops", "matmul", "attention", "loss", "bench"],
    "tokenizer": ["text", "synth", "data"],
    "model": ["ops", "matmul", "attention", "loss", "transformer", "io", "train", "run"],
    "tools": ["common", "html", "perf", "bench", "check", "cli"],
}
# Folders of other layers that each may include.
MAY_INCLUDE = {
    "engine": [],
    "shaders": ["engine/memory", "engine/kernel"],  # the C++ half of an args.h holds slices
    "tokenizer": ["engine/base"],
    "model": ["engine", "tokenizer", "shaders"],
    "tools": ["model", "engine", "tokenizer", "shaders"],
    "tests": ["tests", "tools", "model", "engine", "tokenizer", "shaders"],
}
# The only files of engine/vulkan/ that model/ may include.
VULKAN_FOR_MODEL = ("engine/vulkan/device.h",)
MOST_FILES = 30  # source files in a folder
USES_VULKAN = ("engine", "tests")  # and not engine/base
USES_SENTENCEPIECE = ("tokenizer", "tests")
# The first derives barriers from declared reads and writes; the second records them, and adds them around commands.
BARRIERS = ("engine/program/program.cpp", "engine/memory/command_buffer.cpp", "engine/memory/command_buffer.h")
TOP_LEVEL = "engine shaders model tokenizer tools tests CMakeLists.txt README.md LICENSE".split()

CODE = {".cpp", ".h", ".hpp", ".cc", ".inl"}
SHADER = {".comp", ".glsl"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
VULKAN_HEADER = re.compile(r"^vulkan/|^vk_|(?:^|/)vulkan\.h(?:pp)?$")  # Vulkan's own, or our wrapper of it
VULKAN_CALL = re.compile(r"\bvk[A-Z]\w*\s*\(")
BARRIER_CALL = re.compile(r"\b(?:vkCmdPipelineBarrier2?(?:KHR)?|memory_barrier|host_read_barrier)\b")
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
    """The top folder of a path, if it is a layer."""
    folder = path.split("/")[0]
    return folder if folder in MAY_INCLUDE else None


def subfolder_of(path):
    """"engine/base" for "engine/base/file.h"; the layer for a file directly in it."""
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def resolve(root, includer, name):
    """Path of an included file of ours, relative to the root, or None for somebody else's (or a generated one)."""
    for folder in (root / includer).parent, root:
        path = pathlib.Path(folder, name).resolve()
        if path.is_file() and path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return name if layer_of(name) else None  # a missing file in one of our folders: check it by its name


def may_include(subfolder):
    """The folders that code in a subfolder may include."""
    layer, _, folder = subfolder.partition("/")
    order = ORDER.get(layer, [])
    # Files directly in the layer use all subfolders: nothing in a subfolder may include them.
    own = order[:order.index(folder) + 1] if folder in order else order
    return [f"{layer}/{name}" for name in own] + MAY_INCLUDE[layer]


def check_include(root, path, layer, name):
    """-> what is wrong with `path` including `name`, or None"""
    subfolder = subfolder_of(path)
    if VULKAN_HEADER.search(name) and (layer not in USES_VULKAN or subfolder == "engine/base"):
        return f"{subfolder}/ must not use Vulkan, but includes {name}"
    if name.startswith("sentencepiece") and layer not in USES_SENTENCEPIECE:
        return f"{layer}/ must not use SentencePiece, but includes {name}"
    included = resolve(root, path, name)
    if not included:
        return None
    if layer == "model" and included.startswith("engine/vulkan/") and included not in VULKAN_FOR_MODEL:
        return f"model/ may not include {included}; of engine/vulkan/ it may include {', '.join(VULKAN_FOR_MODEL)}"
    if not any(included.startswith(folder + "/") for folder in may_include(subfolder)):
        return f"{subfolder}/ may not include {included}; it may include: {', '.join(may_include(subfolder))}"
    return None


def check_subfolders(paths):
    """Every source file of a layer is in a subfolder; no subfolder has too many files; a basename is used once."""
    named, count = {}, {}
    for path in paths:
        layer, parts = layer_of(path), path.split("/")
        name = parts[-1]
        if layer in ORDER and len(parts) == 3 and parts[1] not in ORDER[layer]:
            yield f"{path}:1: {layer}/ has no folder {parts[1]}/ in the order of {pathlib.Path(__file__).name}"
        if len(parts) > 2:
            folder = path.rpartition("/")[0]
            count[folder] = count.get(folder, 0) + 1
        if name != "args.h" and layer in ORDER:  # tests are named after what they test
            named.setdefault(name, []).append(path)
    for folder, files in sorted(count.items()):
        if files > MOST_FILES:
            yield f"{folder}:1: {files} source files; more than {MOST_FILES} show no design"
    for name, places in sorted(named.items()):
        if len(places) > 1:
            yield f"{places[0]}:1: the name {name} is used {len(places)} times ({', '.join(places)})"


def findings(root):
    once = {"SentencePiece is included": [], "getenv is called": []}  # fact -> places; each belongs in one file
    tracked = git_files(root)
    sources = [path for path in sorted(set(tracked + git_files(root, "--others", "--exclude-standard")))
               if layer_of(path) and pathlib.PurePosixPath(path).suffix in CODE | SHADER and (root / path).is_file()]
    yield from check_subfolders(sources)
    for path in sources:
        layer = layer_of(path)
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
            if layer != "tests" and GETENV_CALL.search(code):  # only in the program; amd_card.cpp is not part of it
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
        print(f"{root} is not a git checkout, or git is missing; the files to check are unknown")
        return 77  # ctest counts it as skipped
    print("\n".join(problems) or "no layer errors")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
