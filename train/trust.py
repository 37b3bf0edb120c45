"""Whether code that a file names may be run.

A run directory and a recipe name their network, method, data and task. Names of the package's own are harmless; a name
`module:callable` is code, which Python runs on importing it. Somebody who hands on a run directory would hand on code
with it, so such a name is taken from a file only where the user says so: by naming the same on the command line or in
the call, or by trusting the file as a whole.
"""

from __future__ import annotations

from collections.abc import Collection

from ..errors import InputError
from ..text import printable
from .recipe import Recipe

_FOLDER = "folder:"  # pictures, which are data


def code_names(record: Recipe) -> dict[str, str]:
    """Every `module:callable` that the record names, by its role."""
    names = {"model": record.model.name, "method": record.method.name, "data": record.data.name}
    if record.task is not None:
        names["task"] = record.task.name
    return {
        role: name for role, name in names.items() if ":" in name and not (role == "data" and name.startswith(_FOLDER))
    }


def check_code(record: Recipe, source: str, named: Collection[str | None] = (), *, trust_code: bool = False) -> None:
    """Refuse code that a file names and the user did not.

    record      what the file says
    source      the file in words, as in "the run in runs/a"
    named       names that the user gave himself
    trust_code  whether the user trusts the file with whatever it names

    Raises InputError that names the code and the remedy. To be called before anything of the record is built.
    """
    if trust_code:
        return
    for role, name in code_names(record).items():
        if name not in named:
            raise InputError(
                f"{source[:1].upper()}{source[1:]} names code as its {role}, {printable(name)}, which would be "
                "imported and run; give --trust-code (trust_code=True in Python) if you trust whoever wrote it."
            )
