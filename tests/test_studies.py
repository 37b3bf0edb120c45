"""Storages of searches: any path is valid, no untrusted code runs, other databases stay unchanged, passwords hidden."""

from __future__ import annotations

import sqlite3

import pytest

from bayespress.errors import InputError
from bayespress.optuna_study import open_study, without_password


@pytest.mark.parametrize(
    "name", ["a?b.db", "a%25b.db", "a#b.db", "a b.db", "a{b}.db", "a:memory:.db", "a?mode=ro&x=1", "日本.db", "s.db"]
)
@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
def test_a_path_has_no_special_characters(tmp_path, monkeypatch, name, absolute):
    monkeypatch.chdir(tmp_path)
    storage = str(tmp_path / name) if absolute else name
    study = open_study(storage, "one", 1)
    study.tell(study.ask(), [1.0])
    assert [path.name for path in tmp_path.iterdir()] == [name], "written there and nowhere else"
    assert len(open_study(storage, "one", 1).trials) == 1


def test_the_home_folder_may_be_abbreviated(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    open_study("~/s.db", "one", 1)
    assert (tmp_path / "s.db").is_file()


def test_urls_are_unchanged(tmp_path):
    open_study(f"sqlite:///{tmp_path}/s.db", "one", 1)
    assert (tmp_path / "s.db").is_file()


@pytest.mark.parametrize("scheme", ["redis", "nosuch", "file", "journal", "http", "redis+tls"])
def test_rejects_storages_that_unpickle(scheme, monkeypatch):
    import pickle

    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("unpickled"))
    with pytest.raises(InputError, match=r"is not a supported database"):
        open_study(f"{scheme}://user:secret@host/0", "one", 1)


def test_optuna_s_tables_contain_no_pickle():
    """No column of Optuna's tables has SQLAlchemy's PickleType, as optuna_study.py claims."""
    import sqlalchemy
    from optuna.storages._rdb.models import BaseModel

    columns = [column for table in BaseModel.metadata.tables.values() for column in table.columns]
    assert len(columns) > 20
    assert not any(isinstance(column.type, sqlalchemy.PickleType) for column in columns)


def test_no_other_file_is_written(tmp_path):
    (tmp_path / "thesis.txt").write_text("x" * 100)
    with sqlite3.connect(tmp_path / "places.sqlite") as database:
        database.execute("CREATE TABLE studies_of_mine (id INTEGER)")
    for name in ("thesis.txt", "places.sqlite"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(InputError, match=r"is a file that no search wrote"):
            open_study(str(tmp_path / name), "one", 1)
        assert (tmp_path / name).read_bytes() == before
    (tmp_path / "damaged.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 200)
    with pytest.raises(InputError, match=r"damaged.db cannot be used"):
        open_study(str(tmp_path / "damaged.db"), "one", 1)
    (tmp_path / "empty.db").touch()
    open_study(str(tmp_path / "empty.db"), "one", 1)
    with pytest.raises(InputError, match=r"there is no folder"):
        open_study(str(tmp_path / "none" / "s.db"), "one", 1)
    with pytest.raises(InputError, match=r"not a regular file"):
        open_study(str(tmp_path), "one", 1)


def test_rejects_a_study_with_other_objectives(tmp_path):
    open_study(str(tmp_path / "s.db"), "one", 2)
    with pytest.raises(InputError, match=r"objectives|cannot be used"):
        open_study(str(tmp_path / "s.db"), "one", 1)


@pytest.mark.parametrize("password", ["secret", "p@ss:w", "s%40t"])
def test_passwords_are_hidden(password):
    with pytest.raises(InputError) as raised:
        open_study(f"postgresql://user:{password}@host.invalid/db", "one", 1)
    assert password not in str(raised.value)
    assert "postgresql://user:***@host.invalid/db" in str(raised.value)
    shown = without_password(f"--storage=mysql://u:{password}@h/db?password={password}&x=1")
    assert shown == "--storage=mysql://u:***@h/db?password=***&x=1"
