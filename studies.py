"""Optuna studies as both searches keep them: resumable, and shared by several workers through one storage."""

from __future__ import annotations

from typing import Any

from .errors import InputError, MissingToolError, reason_of


def open_study(
    storage: str,
    name: str,
    objectives: int,
    *,
    seed: int | None = None,
) -> Any:
    """The study of this name in a SQLite file or a database, begun if it is not there; all objectives are minimised.

    seed  of what is proposed; without one several workers propose different things

    Raises MissingToolError without Optuna and InputError when the storage cannot be used.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingToolError(
            f"Optuna is needed for searching and cannot be imported ({error}); "
            "install it with `pip install 'bayespress[train]'`."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = storage if "://" in storage else f"sqlite:///{storage}"
    try:
        study = optuna.create_study(
            study_name=name, storage=url, load_if_exists=True, directions=["minimize"] * objectives
        )
    except Exception as error:
        # SQLAlchemy's drivers raise their own types; all mean that the storage cannot be used.
        raise InputError(
            f"Storage {storage} cannot be used ({reason_of(error)}); name a file or a database URL."
        ) from None
    # A search that goes on does not propose again what it began with.
    study.sampler = optuna.samplers.TPESampler(
        multivariate=True, seed=None if seed is None else seed + len(study.trials)
    )
    return study


def finished(study: Any) -> list[Any]:
    """The trials that came to an end, oldest first."""
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]
