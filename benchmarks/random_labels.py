"""Can a method be made to memorise labels that mean nothing? Sparse VD must refuse, binary dropout memorises.

    python benchmarks/random_labels.py DATA_DIR [--examples 5000] [--epochs 150]

LeNet-300-100 on a part of MNIST with labels drawn at random (Molchanov et al. 2017, section 5.4): training accuracy
and the share of weights that became noise, side by side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from raw_results import RawResults, add_json_option

from bayespress.train.bayesian import bayesianize
from bayespress.train.data import batches, load_data
from bayespress.train.evaluate import error_percent, nonzero_percent
from bayespress.train.fit import fit
from bayespress.train.models import build_model


def main() -> None:
    """Train both and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="folder with MNIST's IDX files")
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=150)
    add_json_option(parser)
    arguments, results = parser.parse_args(), RawResults()
    images = load_data("mnist", arguments.data_dir).train.inputs[: arguments.examples]
    labels = torch.randint(10, (len(images),), generator=torch.Generator().manual_seed(0))
    print(f"LeNet-300-100, {len(images)} examples, random labels, {arguments.epochs} epochs")
    for method, options in (
        ("sparse-vd", {}),
        ("mc-dropout", {"drop_probability": 0.2, "first_drop_probability": 0.0, "length_scale": 0.01}),
    ):
        torch.manual_seed(0)
        net = bayesianize(build_model("lenet-300-100"), method, **options)
        fit(net, batches(images, labels, 100, seed=0), epochs=arguments.epochs, learning_rate=2e-3, warmup_end=0.3)
        accuracy, pruned = 100.0 - error_percent(net, images, labels), 100.0 - nonzero_percent(net)
        print(f"{method:12} training accuracy {accuracy:6.2f} %   weights pruned {pruned:6.2f} %", flush=True)
        results.add(method, training_accuracy_percent=accuracy, pruned_percent=pruned)
    results.write(arguments.json)


if __name__ == "__main__":
    main()
