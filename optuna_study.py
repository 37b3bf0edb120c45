"""Optuna studies as both searches keep them: resumable, and shared by several workers through one storage.

Opening a storage runs no code of a stranger. Only Optuna's storage in relational databases is used, which keeps
numbers, text and JSON in its tables; its journal storages (files and Redis) unpickle snapshots and are refused.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import warnings
from pathlib import Path
from typing import Any

from .errors import InputError, MissingPackageError, reason_of

# `redis` would be a journal, which unpickles; the others are what SQLAlchemy has dialects for.
_DATABASES = ("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql", "cockroachdb")
_SQLITE_MAGIC = b"SQLite format 3\0"
_WAIT_S = 60.0  # for another worker's write


def open_study(
    storage: str,
    name: str,
    objectives: int,
    *,
    seed: int | None = None,
) -> Any:
    """The study of this name in a SQLite file or a database, begun if it is not there; all objectives are minimised.

    storage  a path, in which no character has a meaning, or the URL of a database, as postgresql://user@host/name
    seed     of what is proposed; without one several workers propose different things

    Raises MissingPackageError without Optuna and InputError when the storage cannot be used, or is a file of something
    else.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")  # of tqdm, in notebooks: no search shows its bars
            import optuna
    except ImportError as error:
        raise MissingPackageError("optuna", reason_of(error)) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    shown = without_password(storage)
    try:
        kept = optuna.storages.RDBStorage(**_address(storage))
        study = optuna.create_study(
            study_name=name, storage=kept, load_if_exists=True, directions=["minimize"] * objectives
        )
    except InputError:
        raise
    except Exception as error:
        # SQLAlchemy's drivers raise their own types; all mean that the storage cannot be used.
        reason = without_password(reason_of(error))
        if (password := _password(storage)) is not None:
            reason = reason.replace(password, "***")
        raise InputError(f"Storage {shown} cannot be used ({reason}); name a file or a database URL.") from None
    if len(study.directions) != objectives:
        raise InputError(
            f"Storage {shown} holds a study {name} with {len(study.directions)} objectives, not {objectives}; name "
            "another storage."
        )
    # A search that goes on does not propose again what it began with.
    study.sampler = optuna.samplers.TPESampler(
        multivariate=True, seed=None if seed is None else seed + len(study.trials)
    )
    return study


def finished(study: Any) -> list[Any]:
    """The trials that came to an end, oldest first."""
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]


def without_password(text: str) -> str:
    """`text` with *** for the passwords of all URLs in it."""
    return re.sub(r"(://[^/@\s:]*):[^/\s]*@", r"\1:***@", re.sub(r"((?:password|passwd|pwd)=)[^&\s]*", r"\1***", text))


def _password(storage: str) -> str | None:
    found = re.search(r"://[^/@\s:]*:([^/\s]*)@", storage)
    return found[1] if found and found[1] else None


def _address(storage: str) -> dict[str, Any]:
    """Arguments of Optuna's storage for a path or a URL."""
    from sqlalchemy.engine import URL

    if "://" in storage:
        scheme = storage.partition("://")[0].partition("+")[0].lower()
        if scheme not in _DATABASES:
            raise InputError(
                f"Storage {without_password(storage)} is no database that is supported; name a file, or a URL that "
                f"begins with one of {', '.join(_DATABASES)}."
            )
        # Optuna formats the URL once more, for a placeholder that nobody asked for.
        return {"url": storage.replace("{", "{{").replace("}", "}}")}
    path = Path(storage).expanduser().absolute()
    _check_file(path, storage)
    # SQLite's own way to write any path as a URI: all that means something in one is percent-encoded.
    url = URL.create("sqlite", database=path.as_uri(), query={"uri": "true"})
    return {
        "url": url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}"),
        "engine_kwargs": {"connect_args": {"timeout": _WAIT_S}},
    }


def _check_file(path: Path, storage: str) -> None:
    """See that a database file is absent, empty or Optuna's: tables are never added to somebody else's."""
    if not path.exists():
        if not path.parent.is_dir():
            raise InputError(f"Storage {storage} cannot be made: there is no folder {path.parent}; make it first.")
        return
    if not path.is_file():
        raise InputError(f"Storage {storage} is no regular file; name a file or a database URL.")
    with path.open("rb") as stream:
        head = stream.read(len(_SQLITE_MAGIC))
    tables: set[str] = set()
    if head == _SQLITE_MAGIC:
        try:
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)) as database:
                tables = {str(row[0]) for row in database.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        except sqlite3.Error as error:
            raise InputError(f"Storage {storage} cannot be used ({reason_of(error)}); name another file.") from None
    if head and (head != _SQLITE_MAGIC or not _is_optunas(tables)):
        raise InputError(f"Storage {storage} is a file that no search has made; name another file.")


def _is_optunas(tables: set[str]) -> bool:
    """Whether a database has Optuna's tables, or those of them that another worker has made so far, and no others."""
    from optuna.storages._rdb.models import BaseModel

    known = set(BaseModel.metadata.tables) | {"alembic_version", "sqlite_sequence"}
    return tables <= known or {"alembic_version", "studies", "trials", "version_info"} <= tables
