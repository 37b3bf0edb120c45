"""Optuna studies of both searches: they can be resumed, and several workers can share one storage.

Opening a storage executes no untrusted code. Only Optuna's storage in relational databases is allowed, which contains
numbers, text and JSON; its journal storages (files and Redis) unpickle snapshots and are refused.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import warnings
from pathlib import Path
from typing import Any

from .errors import InputError, MissingPackageError, reason_of

# The dialects of SQLAlchemy. `redis` is absent because it is a journal storage, which unpickles.
_DATABASES = ("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql", "cockroachdb")
_SQLITE_MAGIC = b"SQLite format 3\0"
_WAIT_S = 60.0  # seconds to wait for a write of another worker


def open_study(
    storage: str,
    name: str,
    objectives: int,
    *,
    seed: int | None = None,
) -> Any:
    """Open the study with this name in a SQLite file or a database, or create it. All objectives are minimised.

    storage     path of a SQLite file (no character has a special meaning), or the URL of a database, as
                postgresql://user@host/name
    objectives  number of objectives
    seed        seed of the sampler; with None several workers propose different trials

    Raises MissingPackageError without Optuna, InputError if the storage cannot be used or is a file of another kind.
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
        database = optuna.storages.RDBStorage(**_address(storage))
        study = optuna.create_study(
            study_name=name, storage=database, load_if_exists=True, directions=["minimize"] * objectives
        )
    except InputError:
        raise
    except Exception as error:
        # The drivers of SQLAlchemy raise their own exception types; each means that the storage cannot be used.
        reason = without_password(reason_of(error))
        if (password := _password(storage)) is not None:
            reason = reason.replace(password, "***")
        raise InputError(f"Storage {shown} cannot be used ({reason}); name a file or a database URL.") from None
    if len(study.directions) != objectives:
        raise InputError(
            f"Storage {shown} holds a study {name} with {len(study.directions)} objectives, not {objectives}; name "
            "another storage."
        )
    # A resumed search must not propose its first trials again.
    study.sampler = optuna.samplers.TPESampler(
        multivariate=True, seed=None if seed is None else seed + len(study.trials)
    )
    return study


def finished(study: Any) -> list[Any]:
    """The completed trials, oldest first."""
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]


def without_password(text: str) -> str:
    """`text` with *** in place of the passwords in all URLs."""
    return re.sub(r"(://[^/@\s:]*):[^/\s]*@", r"\1:***@", re.sub(r"((?:password|passwd|pwd)=)[^&\s]*", r"\1***", text))


def _password(storage: str) -> str | None:
    match = re.search(r"://[^/@\s:]*:([^/\s]*)@", storage)
    return match[1] if match and match[1] else None


def _address(storage: str) -> dict[str, Any]:
    """Arguments of Optuna's RDBStorage for a path or a URL."""
    from sqlalchemy.engine import URL

    if "://" in storage:
        scheme = storage.partition("://")[0].partition("+")[0].lower()
        if scheme not in _DATABASES:
            raise InputError(
                f"Storage {without_password(storage)} is not a supported database; name a file, or a URL that begins "
                f"with one of {', '.join(_DATABASES)}."
            )
        # Optuna calls str.format on the URL, so braces must be doubled.
        return {"url": storage.replace("{", "{{").replace("}", "}}")}
    path = Path(storage).expanduser().absolute()
    _check_file(path, storage)
    # SQLite accepts any path as a URI with percent-encoding of special characters.
    url = URL.create("sqlite", database=path.as_uri(), query={"uri": "true"})
    return {
        "url": url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}"),
        "engine_kwargs": {"connect_args": {"timeout": _WAIT_S}},
    }


def _check_file(path: Path, storage: str) -> None:
    """Raise InputError unless a database file is absent, empty or Optuna's; no other database gets new tables."""
    if not path.exists():
        if not path.parent.is_dir():
            raise InputError(f"Storage {storage} cannot be created: there is no folder {path.parent}; make it first.")
        return
    if not path.is_file():
        raise InputError(f"Storage {storage} is not a regular file; name a file or a database URL.")
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
        raise InputError(f"Storage {storage} is a file that no search wrote; name another file.")


def _is_optunas(tables: set[str]) -> bool:
    """Whether a database has Optuna's tables, or only those that another worker has created so far."""
    from optuna.storages._rdb.models import BaseModel

    known = set(BaseModel.metadata.tables) | {"alembic_version", "sqlite_sequence"}
    return tables <= known or {"alembic_version", "studies", "trials", "version_info"} <= tables
