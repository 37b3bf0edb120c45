"""The rows of the MNIST tables, from training to the file on disk: `make reproduce-mnist`.

    python benchmarks/reproduce_mnist.py --data-dir DATA --out build/reproduce [--only lenet-5] [--jobs 2]

Each row is a recipe: `train --recipe` trains it, and `compress` takes the settings and the size from its table
[compress]. The choice among settings is made by the error on a tenth of the training set that was kept back, and the
test error is what the table then shows. Recipes that train the same share their runs. Rows that are asked of three
seeds count the worst. Whatever is finished is not done again, and a training that was cut
short goes on: run it in the background for as long as it takes (hours; the table says how many). Commands and their
output lie under OUT/log.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bayespress.train.recipe import recipe_fields

LENET_300, LENET_5 = "lenet-300-100", "lenet-5-caffe"


@dataclass(frozen=True)
class Row:
    """A row: the recipe that it is, what was published or asked, and how many seeds.

    asked  pairs of error in percent and ratio, each of which the row has to reach
    """

    title: str
    recipe: str
    asked: tuple[tuple[float, float], ...]
    seeds: int = 1

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The recipe's plain values."""
        return recipe_fields(self.recipe)

    @property
    def training(self) -> dict[str, Any]:
        """What decides the training run."""
        return {name: value for name, value in self.fields.items() if name != "compress"}

    @property
    def compress(self) -> dict[str, Any]:
        """Settings of `compress`, and the goal of its search if the row has one."""
        table: dict[str, Any] = self.fields["compress"]
        return table

    @property
    def searched(self) -> bool:
        return "max_bytes" in self.compress

    @property
    def name(self) -> str:
        return self.recipe.replace("/", "-")

    @property
    def run_name(self) -> str:
        """The name of the first row that trains the same."""
        return next(row.name for row in ROWS if row.training == self.training)


ROWS = (
    Row("smallest, and Oktay 2020", f"{LENET_300}/sparse-vd-moved", ((1.8, 250), (1.6, 124)), seeds=3),
    Row("Deep Compression", f"{LENET_300}/deep-compression", ((1.58, 40),)),
    Row("DNS", f"{LENET_300}/dynamic-network-surgery", ((1.99, 56),)),
    Row("SWS", f"{LENET_300}/soft-weight-sharing", ((1.94, 64),)),
    Row("Sparse VD", f"{LENET_300}/sparse-vd", ((1.8, 113),)),
    Row("BC-GNJ", f"{LENET_300}/group-normal-jeffreys", ((1.8, 58),)),
    Row("BC-GHS", f"{LENET_300}/group-horseshoe", ((1.8, 59),)),
    Row("smallest, and MIRACLE", f"{LENET_5}/sparse-vd-moved", ((0.96, 1110),), seeds=3),
    Row("MIRACLE, lowest error", f"{LENET_5}/sparse-vd-moved-fine", ((0.69, 555),), seeds=3),
    Row("Deep Compression", f"{LENET_5}/deep-compression", ((0.74, 39),)),
    Row("DNS", f"{LENET_5}/dynamic-network-surgery", ((0.91, 108),)),
    Row("SWS", f"{LENET_5}/soft-weight-sharing", ((0.97, 162),)),
    Row("Sparse VD", f"{LENET_5}/sparse-vd", ((0.75, 280),)),
    Row("BC-GNJ", f"{LENET_5}/group-normal-jeffreys", ((1.0, 361),)),
    Row("BC-GHS", f"{LENET_5}/group-horseshoe", ((1.0, 771),)),
)


def options_of(table: Mapping[str, Any]) -> list[str]:
    """The table [compress] as options of the command, for a run that another recipe may have trained."""
    words: list[str] = []
    for name, value in table.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [option] if value else []
        else:
            words += [option, str(value)]
    return words


class Workshop:
    """Where runs, packed directories and logs lie, and how commands are run."""

    def __init__(self, out: Path, data_dir: Path) -> None:
        self.out, self.data_dir = out, data_dir
        (out / "log").mkdir(parents=True, exist_ok=True)

    def run(self, row: Row, seed: int) -> Path:
        return self.out / "runs" / f"{row.run_name}-{seed}"

    def packed(self, row: Row, seed: int) -> Path:
        return self.out / "packed" / f"{row.name}-{seed}"

    def train(self, row: Row, seed: int) -> None:
        folder = self.run(row, seed)
        record = folder / "run.json"
        if record.is_file() and json.loads(record.read_text())["status"] == "complete":
            return
        if (folder / "checkpoints" / "last.ckpt").is_file():
            self._command(folder.name, "train", "--resume", folder)
        else:
            self._command(
                folder.name, "train", "--recipe", row.recipe, "--seed", seed, "--data-dir", self.data_dir, "-o", folder,
                "--overwrite",
            )  # fmt: skip

    def compress(self, row: Row, seed: int) -> None:
        folder = self.packed(row, seed)
        if not (folder / "packed.json").is_file():
            self._command(
                folder.name, "compress", self.run(row, seed), "-o", folder, "--data-dir", self.data_dir,
                *options_of(row.compress),
                *(("--storage", self.out / f"{folder.name}.db") if row.searched else ()),
            )  # fmt: skip

    def _command(self, name: str, *arguments: object) -> None:
        words = [sys.executable, "-m", "bayespress", *map(str, arguments)]
        began = time.monotonic()
        with (self.out / "log" / f"{name}.log").open("a") as log:
            print("bayespress", *map(str, arguments), file=log, flush=True)
            # One thread each: as many commands run at once as there are jobs.
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            code = subprocess.run(words, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False).returncode
        outcome = f"done in {time.monotonic() - began:.0f} s" if code == 0 else f"FAILED with {code}, see its log"
        print(f"{arguments[0]} {name}: {outcome}", file=sys.stderr, flush=True)


def figures(shop: Workshop, row: Row) -> Iterator[tuple[float, float, float, float]]:
    """Test error, ratio, held-out error and hours of training of each seed that is finished."""
    for seed in range(row.seeds):
        path = shop.packed(row, seed) / "packed.json"
        if path.is_file():
            packed = json.loads(path.read_text())
            run = json.loads((shop.run(row, seed) / "run.json").read_text())
            ratio = packed["original_bytes"] / packed["packed_bytes"]
            error = packed["steps"][-1]["metric"]
            held_out = packed["choice"]["metric"] if row.searched else float("nan")
            yield error, ratio, held_out, run["seconds"] / 3600


def table(shop: Workshop, rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| row | recipe | asked: error, ratio | test error by seed | ratio by seed | held-out | hours | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = list(figures(shop, row))
        errors, ratios, held_out, hours = zip(*found, strict=True) if found else ((), (), (), ())
        whole = len(found) == row.seeds
        reached = whole and all(max(errors) <= error and min(ratios) >= ratio for error, ratio in row.asked)
        asked = " and ".join(f"{error:g} %, {ratio:g}" for error, ratio in row.asked)
        lines.append(
            f"| {row.title} | {row.recipe} | {asked} | "
            f"{', '.join(f'{e:.2f}' for e in errors)} | {', '.join(f'{r:.0f}' for r in ratios)} | "
            f"{', '.join(f'{e:.2f}' for e in held_out)} | {sum(hours):.1f} | "
            f"{'reached' if reached else 'missed' if whole else 'open'} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("BAYESPRESS_DATA"), help="MNIST's IDX files")
    parser.add_argument("--out", type=Path, default=Path("build/reproduce"))
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="commands at once")
    parser.add_argument("--table", action="store_true", help="only show what is there")
    options = parser.parse_args()
    if options.data_dir is None:
        parser.error("name the folder of MNIST's IDX files by --data-dir or BAYESPRESS_DATA")
    shop = Workshop(options.out, options.data_dir)
    rows = [row for row in ROWS if options.only in row.name]
    if not options.table:
        trainings = {shop.run(row, seed): (row, seed) for row in rows for seed in range(row.seeds)}
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda each: shop.train(*each), trainings.values()))
            list(pool.map(lambda each: shop.compress(*each), [(r, s) for r in rows for s in range(r.seeds)]))
    print(table(shop, rows))


if __name__ == "__main__":
    main()
