#!/usr/bin/env python3
"""Writes the manual page of `lapilli` from what it says itself: --help of every command, and the list in engine/base/environment.h.

Usage: make_man_page.py LAPILLI -o FILE
"""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIST = re.compile(r"^(Positionals|Options|Subcommands):$")
VARIABLE = re.compile(r"^//  ([A-Z_, =0-9]+?)  +(.*)$")


def escape(text):
    """Text as roff shows it letter for letter."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")
    text = "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text)
    return "\\&" + text if text.startswith(".") else text


def bold(text):
    return "\\fB" + escape(text) + "\\fR"


class Help:
    """What one --help says: description, usage, lists of (name, explanation), and the lines below."""

    def __init__(self, text):
        self.description, self.usage, self.lists, self.footer = [], "", {}, []
        entries = None
        for line in text.rstrip().splitlines():
            title = LIST.match(line)
            if title:
                entries = self.lists[title[1]] = []
            elif line.startswith("Usage: "):
                self.usage = line.removeprefix("Usage: ")
            elif entries is not None and line.startswith("  ") and not self.footer:
                name, _, explanation = line.strip().partition("  ")
                if line.startswith(" " * 30):  # of the line above, whose name left no room
                    entries[-1] = (entries[-1][0], line.strip())
                else:
                    entries.append((name, explanation.strip()))
            elif not self.usage:
                self.description.append(line)
            elif line or self.footer:
                self.footer.append(line)


def help_of(program, *command):
    done = subprocess.run([program, *command, "--help"], check=True, capture_output=True, text=True)
    return Help(done.stdout)


def all_commands(program, *prefix):
    """Every command below `prefix`, in the order in which --help lists them: (words, Help)."""
    for name, _ in help_of(program, *prefix).lists.get("Subcommands", []):
        command = (*prefix, name)
        yield command, help_of(program, *command)
        yield from all_commands(program, *command)


def write_entries(out, entries):
    for name, explanation in entries:
        out += [".TP", bold(name), escape(explanation)]


def write_help(out, found, top):
    out += [escape(" ".join(found.description)).rstrip(".") + "."]
    if found.lists.get("Subcommands"):
        out += [".PP", "Commands: " + ", ".join(bold(name) for name, _ in found.lists["Subcommands"]) + "."]
    else:
        out += [".PP", bold(found.usage)]
    for title in "Positionals", "Options":
        write_entries(out, [entry for entry in found.lists.get(title, []) if not entry[0].startswith("-h,")])
    if found.footer == top.footer:  # a command without one repeats it
        return
    for position, line in enumerate(line for line in found.footer if line.strip()):
        if position == 0:
            out += [".PP"]
        elif line.startswith((" ", "Example")):
            out += [".br"]
        out += [escape(line.strip())]


def environment_variables():
    for line in (ROOT / "engine" / "base" / "environment.h").read_text(encoding="utf-8").splitlines():
        entry = VARIABLE.match(line)
        if entry and not entry[2].startswith("(tests)"):
            yield entry[1], entry[2]


def page(program):
    top = help_of(program)
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    out = [f'.TH LAPILLI 1 "" "lapilli {version}" "User Commands"', ".ad l", ".nh",
           ".SH NAME", "lapilli \\- trains small transformer language models on any Vulkan device",
           ".SH SYNOPSIS", ".B lapilli", "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENT\\fR...]",
           ".SH DESCRIPTION", escape(" ".join(top.description)),
           ".PP", "Raw text becomes tokens, tokens train a transformer, and perplexity says how well. Every heavy step is a compute shader.",
           ".SH OPTIONS"]
    write_entries(out, top.lists["Options"])
    out += [".SH COMMANDS"]
    for command, found in all_commands(program):
        out += [".SS lapilli " + escape(" ".join(command))]
        write_help(out, found, top)
    out += [".SH EXIT STATUS"]
    write_entries(out, [("0", "All went well."), ("1", "Something could not be done; one sentence on stderr says what."), ("2", "Wrong usage.")])
    out += [".SH ENVIRONMENT"]
    write_entries(out, environment_variables())
    out += [".SH FILES"]
    write_entries(out, [("PREFIX/share/lapilli/configs/", "Configurations to begin with."),
                        ("PREFIX/share/doc/lapilli/", "README.md and LICENSE.")])
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", metavar="LAPILLI")
    parser.add_argument("-o", "--output", required=True)
    arguments = parser.parse_args()
    text = page(arguments.program)
    output = pathlib.Path(arguments.output)
    if not output.exists() or output.read_text(encoding="utf-8") != text:
        output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
