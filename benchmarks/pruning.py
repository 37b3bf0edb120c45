"""What a trained posterior loses as its weights are pruned by signal-to-noise, by magnitude and at random.

    python benchmarks/pruning.py RUN [--data-dir FOLDER]

Figure 5 and section 5.3 of Blundell et al. 2015: one line a share of pruned weights, test error in percent under each
rule. RUN is a run directory, as `bayespress train --recipe mlp-1200/bayes-by-backprop` writes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from raw_results import RawResults, add_json_option

from bayespress.compress.posterior import read_posterior
from bayespress.compress.prune import prune
from bayespress.compress.settings import CompressSettings
from bayespress.train.data import load_data
from bayespress.train.evaluate import error_percent
from bayespress.train.models import build_model
from bayespress.train.run import POSTERIOR, RunRecord

_RULES = ("signal-to-noise", "magnitude", "random")
_PERCENTS = (0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0)


def main() -> None:
    """Prune and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-dir", type=Path, help="where the data lies, if not where it did in training")
    add_json_option(parser)
    arguments, results = parser.parse_args(), RawResults()
    record = RunRecord.read(arguments.run)
    folder = arguments.data_dir or (Path(record.data.folder) if record.data.folder else None)
    data = load_data(record.data.name, folder)
    posterior = read_posterior(arguments.run / POSTERIOR)
    network = build_model(record.model.name, record.model.options).eval()
    posterior.load_into(network)
    print(f"{record.model.name} by {record.method.name} on {data.name}: test error, %")
    print("pruned  " + "".join(f"{rule:>18}" for rule in _RULES))
    for percent in _PERCENTS:
        errors = []
        for rule in _RULES:
            network.load_state_dict(
                {**network.state_dict(), **prune(posterior, CompressSettings(rule=rule, sparsity=percent))}
            )
            errors.append(error_percent(network, data.test.inputs, data.test.targets))
        print(f"{percent:4.0f} %  " + "".join(f"{error:18.2f}" for error in errors), flush=True)
        results.add(f"{percent:.0f} % pruned", error_percent=dict(zip(_RULES, errors, strict=True)))
    results.write(arguments.json)


if __name__ == "__main__":
    main()
