"""Decoders that lack one check each, made from the C sources.

A check is a condition after which a call is refused: `if (a || b) return BPZ_ERROR_...;` is two checks, each taken out
by itself, and so are `return a && b ? BPZ_OK : BPZ_ERROR_...;` and the passing on of another call's status.
"""

from __future__ import annotations

import re
import resource
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codec_sources import C_SOURCES, C_TESTS

# What a function of the decoder returns to say that it refuses.
_REFUSAL = re.compile(r"BPZ_ERROR_|return status;|return BPZ_NO_NUMBER|return UINT64_MAX|return 0;|exit\(")
_WRITER = {"encode.c", "bpz_encode.h"}  # not the decoder's
_LONGEST_S = 20  # of a program on all files; a sound one takes less than 1 s


@dataclass(frozen=True)
class Mutant:
    """A source without one of its checks.

    file    the source's name
    check   the condition, its white space made single spaces
    behind  the line before, which tells places with the same check apart
    line    of the source, from 1
    start, end, text  what of the source is replaced by what
    """

    file: str
    check: str
    behind: str
    line: int
    start: int
    end: int
    text: str

    def applied(self, source: str) -> str:
        """The source without the check."""
        return source[: self.start] + self.text + source[self.end :]


def without_comments(source: str) -> str:
    """The source with spaces instead of comments, so that all offsets stay."""
    return re.sub(r"/\*.*?\*/", lambda found: re.sub(r"[^\n]", " ", found[0]), source, flags=re.DOTALL)


def closing(source: str, start: int) -> int:
    """The offset of the bracket that closes the one at `start`."""
    depth = 0
    for at in range(start, len(source)):
        depth += (source[at] in "([{") - (source[at] in ")]}")
        if depth == 0:
            return at
    raise ValueError(f"no bracket closes the one at {start}")


def parts(source: str, start: int, end: int, operator: str) -> Iterator[tuple[int, int]]:
    """The offsets of the operands of `operator` between `start` and `end`, outside inner brackets."""
    at = first = start
    while at < end:
        if source[at] in "([{":
            at = closing(source, at)
        elif source.startswith(operator, at):
            yield first, at
            at += len(operator) - 1
            first = at + 1
        at += 1
    yield first, end


def _mutant(file: str, source: str, start: int, end: int, check: str, text: str) -> Mutant:
    lines = source[: source.rfind("\n", 0, start) + 1].rstrip().rsplit("\n", 1)
    line = source.count("\n", 0, start) + 1
    return Mutant(file, " ".join(check.split()), lines[-1].strip(), line, start, end, text)


def _taken_out(file: str, source: str, start: int, end: int, operator: str) -> Iterator[Mutant]:
    """Each operand of `operator` as if it were 0 (of `||`) or 1 (of `&&`); it is still evaluated."""
    for first, last in parts(source, start, end, operator):
        operand = source[first:last]
        text = f"(({operand}) && 0)" if operator == "||" else f"(({operand}) || 1)"
        yield _mutant(file, source, first, last, operand, text)


def mutants_of(file: str, text: str) -> Iterator[Mutant]:
    """All mutants of one source."""
    source = without_comments(text)
    for found in re.finditer(r"\bif \(", source):
        start = found.end() - 1
        end = closing(source, start)
        body = source[end + 1 : source.index(";", end) + 1]
        line = source[source.rfind("\n", 0, found.start()) + 1 : source.find("\n", end)]
        if re.fullmatch(r"\s*\{?\s*(return [^;?]*|status = [^;?]*|exit\(\d+\));", body) is None:
            continue
        if re.match(r"\s*status = (?!BPZ_ERROR)", body):
            if "status == BPZ_OK" in source[start:end]:  # goes on only where nothing was refused yet
                yield _mutant(file, source, start + 1, start + 1, line, "1 || ")
        elif _REFUSAL.search(body):
            yield from _taken_out(file, source, start + 1, end, "||")
    for found in re.finditer(r"return ([^;{}]*?) \? (BPZ_OK : BPZ_ERROR_\w+|BPZ_ERROR_\w+ : BPZ_OK);", source):
        operator = "&&" if found[2].startswith("BPZ_OK") else "||"
        yield from _taken_out(file, source, found.start(1), found.end(1), operator)
    for found in re.finditer(r"(?:else \{|\n)\s*(return (BPZ_ERROR_\w+|0|UINT64_MAX);)\s*\n\s*\}", source):
        before = source[: found.start(1)].rstrip()
        if re.search(r"\) \{$|\)$", before):
            continue  # in an `if`, which was taken out above
        if found[2].startswith("BPZ_ERROR") or before.endswith("else {"):
            success = "BPZ_OK" if found[2].startswith("BPZ_ERROR") else "1"
            yield _mutant(file, source, found.start(1), found.end(1), found[1], f"return {success};")


def all_mutants() -> list[Mutant]:
    """Of all sources of the decoder, in their order."""
    paths = [path for path in sorted(C_SOURCES.glob("*.[ch]")) if path.name not in _WRITER]
    return [mutant for path in paths for mutant in mutants_of(path.name, path.read_text())]


class Laboratory:
    """Builds decoders in `folder` and lets them judge files (tests/codec/c/verdicts.c)."""

    def __init__(self, folder: Path, files: bytes) -> None:
        self.folder, self.files = folder, files
        self.sources = {path.name: path.read_text() for path in C_SOURCES.glob("*.[ch]")}
        self.objects = {}
        for name in self.sources:
            if name.endswith(".c") and name not in _WRITER:
                self.objects[name] = folder / f"{name}.o"
                self._compile(C_SOURCES / name, self.objects[name], C_SOURCES)
        self.driver = folder / "verdicts.o"
        self._compile(C_TESTS / "verdicts.c", self.driver, C_SOURCES)

    def sound(self) -> str:
        """The results of the unchanged decoder."""
        return self._judge(self.folder / "sound", self.objects)

    def judged(self, mutant: Mutant, number: int) -> str:
        """The results of the mutant, or how it ended."""
        folder = self.folder / str(number)
        folder.mkdir()
        if mutant.file.endswith(".h"):
            for name, text in self.sources.items():
                (folder / name).write_text(text)
            changed = [name for name in self.objects if self._includes(name, mutant.file)]
        else:
            changed = [mutant.file]
        (folder / mutant.file).write_text(mutant.applied(self.sources[mutant.file]))
        objects = dict(self.objects)
        for name in changed:
            objects[name] = folder / f"{name}.o"
            self._compile(folder / name, objects[name], C_SOURCES)
        return self._judge(folder / "mutant", objects)

    def _includes(self, name: str, header: str) -> bool:
        included = re.findall(r'#include "(\w+\.h)"', self.sources[name])
        return header in included or any(self._includes(other, header) for other in included)

    @staticmethod
    def _compile(source: Path, out: Path, include: Path) -> None:
        # Variables that a mutant leaves without a value get 0, so that it always does the same.
        flags = [
            "-std=c99",
            "-O0",
            "-w",
            "-ftrivial-auto-var-init=zero",
            "-DGUARDED",
            "-D_DEFAULT_SOURCE",
            f"-I{include}",
        ]
        subprocess.run(["gcc", *flags, "-c", str(source), "-o", str(out)], check=True)

    def _judge(self, program: Path, objects: dict[str, Path]) -> str:
        subprocess.run(["gcc", str(self.driver), *map(str, objects.values()), "-o", str(program)], check=True)
        try:
            done = subprocess.run(
                [str(program)], input=self.files, capture_output=True, timeout=_LONGEST_S, check=False,
                preexec_fn=_limit_cpu_time,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "no end"
        if done.returncode == -signal.SIGXCPU:
            return "no end"
        return f"{done.returncode} {done.stdout.decode(errors='replace')}"


def _limit_cpu_time() -> None:
    """End a mutant that loops, even when the process that would stop it was killed."""
    resource.setrlimit(resource.RLIMIT_CPU, (_LONGEST_S, _LONGEST_S + 1))
