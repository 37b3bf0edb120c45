"""Generates Java stub classes with the signatures in android_api.txt, so that a compiler can check calls."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

_MEMBER = re.compile(r"(?P<signature>.*?)(?: since (?P<since>\d+))?$")


@dataclass
class Member:
    """A Java signature without a body, its name, its number of arguments (None for a field), and its API level."""

    signature: str
    name: str
    arguments: int | None
    since: int | None


@dataclass
class AndroidClass:
    """A class with its full name; `head` is the text before and after the name in its Java declaration."""

    name: str
    kind: str
    head: str
    constants: tuple[str, ...] = ()
    members: list[Member] = field(default_factory=list)

    @property
    def outer(self) -> str | None:
        """The enclosing class."""
        owner = self.name.rpartition(".")[0]
        return owner if owner.rpartition(".")[2][:1].isupper() else None


def parse(text: str) -> list[AndroidClass]:
    """The classes in the text of a file such as android_api.txt."""
    classes = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(" "):
            classes[-1].members.append(_member(line.strip()))
        else:
            kind, rest = line.split(" ", 1) if line.split()[0] in ("interface", "enum") else ("class", line)
            name, _, head = rest.partition(" ")
            constants = tuple(head.split()) if kind == "enum" else ()
            classes.append(AndroidClass(name, kind, "" if constants else head, constants))
    return classes


def _member(line: str) -> Member:
    found = _MEMBER.match(line)
    signature, since = found["signature"], found["since"]
    before, bracket, inside = signature.partition("(")
    if not bracket:
        return Member(signature, before.partition(" = ")[0].split()[-1], None, since and int(since))
    depth, count = 0, int(bool(inside.partition(")")[0].strip()))
    for letter in inside.partition(")")[0]:
        depth += (letter == "<") - (letter == ">")
        count += letter == "," and depth == 0
    return Member(signature, before.split()[-1], count, since and int(since))


def write(classes: list[AndroidClass], folder: Path) -> list[Path]:
    """Write one Java file for each top-level class."""
    nested = defaultdict(list)
    for each in classes:
        nested[each.outer].append(each)
    written = []
    for each in nested[None]:
        package, _, _ = each.name.rpartition(".")
        path = folder / (each.name.replace(".", "/") + ".java")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"package {package};\n\n{_java(each, nested, 'public')}")
        written.append(path)
    return written


def _java(it: AndroidClass, nested: dict[str | None, list[AndroidClass]], modifiers: str) -> str:
    simple = it.name.rpartition(".")[2]
    body = [", ".join(it.constants) + ";"] if it.constants else []
    if it.kind == "class":
        body.append(f"protected {simple}() {{}}" if not _has_plain_constructor(it) else "")
    body += [_declaration(member, simple, it.kind) for member in it.members]
    body += [_java(each, nested, "public static") for each in nested[it.name]]
    return f"{modifiers} {it.kind} {simple} {it.head} {{\n" + "\n".join(body) + "\n}\n"


def _has_plain_constructor(it: AndroidClass) -> bool:
    return any(member.name == "new" and member.arguments == 0 for member in it.members)


def _declaration(member: Member, simple: str, kind: str) -> str:
    signature = member.signature
    access = "" if signature.startswith("protected ") else "public "
    if member.arguments is None:
        return f"{access}{signature};"
    arguments, _, behind = signature.partition("(")[2].rpartition(")")
    parts = [part.strip() for part in re.split(r",(?![^<]*>)", arguments) if part.strip()]
    named = ", ".join(f"{part} p{index}" for index, part in enumerate(parts))
    before = signature.partition("(")[0]
    if member.name == "new":
        return f"{access}{simple}({named}) {{}}"
    native = "" if kind == "interface" else "native "
    return f"{access}{native}{before}({named}){behind};"
