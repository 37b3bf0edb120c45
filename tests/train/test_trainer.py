"""What the caller may bring to `fit`: an optimiser, callbacks, a logger, arguments of Lightning's Trainer."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from bayespress.errors import InputError
from bayespress.train.bayesian import bayesianize
from bayespress.train.data import batches
from bayespress.train.fit import fit

MOMENTUM = partial(torch.optim.SGD, momentum=0.9)


def problem(examples=200):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(examples, 8, generator=generator)
    return x, (x[:, 0] + x[:, 1] > 0).long()


def loader(size=20):
    return batches(*problem(), size, seed=1)


def fresh(method="sparse-vd", **options):
    torch.manual_seed(0)
    return bayesianize(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)), method, **options)


class Ends(Exception):  # noqa: N818 - it is how a test stops training
    pass


def end_after(epoch):
    def report(metrics):
        if metrics.epoch == epoch:
            raise Ends

    return report


def norm(module):
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return float(torch.cat([each.flatten() for each in gradients]).norm())


class Seen(Callback):
    """Keeps the optimiser, what was logged by the end of each epoch of validation, and norms of the gradient."""

    def __init__(self):
        self.optimizers, self.logged, self.norms, self.clipped = [], [], [], []

    def on_train_start(self, trainer, module):
        self.optimizers = trainer.optimizers

    def on_validation_end(self, trainer, module):
        self.logged.append(dict(trainer.callback_metrics))

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.norms.append(norm(module))

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.clipped.append(norm(module))


def test_an_optimizer_of_the_caller_trains_with_the_learning_rates_of_the_groups():
    seen = Seen()
    net = fresh("group-horseshoe", scale_learning_rate=10.0)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    fit(net, loader(), epochs=1, learning_rate=1e-3, optimizer=MOMENTUM, callbacks=seen)
    (optimizer,) = seen.optimizers
    assert type(optimizer) is torch.optim.SGD
    assert [group["initial_lr"] for group in optimizer.param_groups] == pytest.approx([1e-3, 1e-2])
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}
    assert any(not torch.equal(before[name], parameter) for name, parameter in net.named_parameters())


def test_a_run_with_an_optimizer_of_the_caller_resumes_as_if_it_had_never_stopped(tmp_path):
    whole = fit(fresh(), loader(), epochs=4, optimizer=MOMENTUM)
    with pytest.raises(Ends):
        fit(fresh(), loader(), epochs=4, optimizer=MOMENTUM, folder=tmp_path, report=end_after(1))
    resumed = fit(fresh(), loader(), epochs=4, optimizer=MOMENTUM, folder=tmp_path, resume=True)
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name


@pytest.mark.parametrize(
    ("other", "offending"),
    [
        (None, "SGD"),
        (lambda groups: MOMENTUM([{"params": [p], "lr": g["lr"]} for g in groups for p in g["params"]]), r"\[6\]"),
    ],
)
def test_rejects_to_resume_with_another_optimizer(tmp_path, other, offending):
    with pytest.raises(Ends):
        fit(fresh(), loader(), epochs=3, optimizer=MOMENTUM, folder=tmp_path, report=end_after(1))
    with pytest.raises(InputError, match=offending) as caught:
        fit(fresh(), loader(), epochs=3, optimizer=other, folder=tmp_path, resume=True)
    assert "optimizer=" in str(caught.value)


@pytest.mark.parametrize(
    ("optimizer", "offending"),
    [
        (lambda groups: groups, "list"),
        (lambda _groups: torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1), "not in the groups"),
        (partial(torch.optim.SGD, momentum=-1.0), "momentum"),
    ],
)
def test_rejects_invalid_optimizers(optimizer, offending):
    with pytest.raises(InputError, match=offending):
        fit(fresh(), loader(), epochs=1, optimizer=optimizer)


def test_early_stopping_watches_the_metric_by_its_name():
    epochs = []
    stop = EarlyStopping(monitor="error", patience=0, stopping_threshold=0.0, min_delta=100.0)
    fit(fresh(), loader(), batches(*problem(), 100), epochs=30, report=epochs.append, callbacks=[stop])
    assert len(epochs) == 2  # the second is no better by 100 points
    assert float(stop.best_score) == pytest.approx(epochs[0].metric)


def test_a_callback_sees_the_figures_of_an_epoch_and_its_exceptions_reach_the_caller():
    class Raises(Seen):
        def on_train_epoch_end(self, trainer, module):
            if trainer.current_epoch == 1:
                raise Ends

    seen = Raises()
    with pytest.raises(Ends):
        fit(fresh(), loader(), batches(*problem(), 100), epochs=3, callbacks=[seen])
    assert {"error"} <= seen.logged[0].keys()
    assert {"error", "nll", "kl", "sparsity"} <= seen.logged[1].keys()


def test_rejects_what_is_no_callback_and_no_logger(tmp_path):
    with pytest.raises(InputError, match=r"function.*report="):
        fit(fresh(), loader(), epochs=1, callbacks=[lambda metrics: metrics])
    with pytest.raises(InputError, match=r"str.*Logger"):
        fit(fresh(), loader(), epochs=1, logger=["tensorboard"])
    with pytest.raises(InputError, match="folder="):
        fit(fresh(), loader(), epochs=1, logger=True)


def test_a_checkpoint_callback_of_the_caller_stands_beside_ours(tmp_path):
    best = ModelCheckpoint(dirpath=tmp_path / "best", monitor="error", filename="best")
    fit(fresh(), loader(), batches(*problem(), 100), epochs=3, folder=tmp_path / "run", callbacks=[best])
    assert {path.name for path in (tmp_path / "run").glob("*.ckpt")} == {"last.ckpt", "previous.ckpt"}
    assert {path.name for path in (tmp_path / "best").iterdir()} == {"best.ckpt"}
    assert best.best_model_score is not None


def test_a_resumed_run_gives_callbacks_their_state_and_names_those_that_are_missing(tmp_path):
    def stopping():
        return EarlyStopping(monitor="error", patience=50)

    val = batches(*problem(), 100)
    with pytest.raises(Ends):
        fit(fresh(), loader(), val, epochs=4, folder=tmp_path, report=end_after(2), callbacks=stopping())
    again, notes = stopping(), []
    fit(fresh(), loader(), val, epochs=4, folder=tmp_path, resume=True, log=notes.append)
    assert any("EarlyStopping" in note for note in notes)
    fit(fresh(), loader(), val, epochs=5, folder=tmp_path, resume=True, callbacks=again, log=notes.append)
    assert len(notes) == 1  # the checkpoint of the run without it has no state of it


def test_rejects_a_callback_whose_state_no_checkpoint_can_keep(tmp_path):
    class Opaque(Callback):
        def state_dict(self):
            return {"held": object()}

    with pytest.raises(InputError, match=r"callbacks of .*Opaque"):
        fit(fresh(), loader(), epochs=1, folder=tmp_path, callbacks=[Opaque()])
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_logger_of_the_caller_takes_the_place_of_tensorboard(tmp_path):
    logger = CSVLogger(str(tmp_path), name="csv", version="0")
    fit(fresh(), loader(), batches(*problem(), 100), epochs=2, logger=logger, folder=tmp_path / "run")
    header = (tmp_path / "csv" / "0" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"error", "nll", "kl", "sparsity"} <= set(header)
    assert not (tmp_path / "run" / "tensorboard").exists()
    fit(fresh(), loader(), epochs=1, logger=False, folder=tmp_path / "none")
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("autocast", ["32-true", "bf16-mixed"])
def test_arguments_reach_the_trainer(autocast):
    seen, largest = Seen(), 0.01
    arguments = {"gradient_clip_val": largest, "limit_train_batches": 3}
    fit(fresh(), loader(), epochs=1, autocast=autocast, callbacks=seen, trainer_arguments=arguments)
    assert len(seen.norms) == 3
    assert min(seen.norms) > largest
    assert max(seen.clipped) <= largest * 1.01


def test_an_epoch_without_validation_has_no_metric():
    epochs = []
    arguments = {"check_val_every_n_epoch": 2}
    fit(
        fresh(), loader(), batches(*problem(), 100), epochs=2, report=epochs.append, trainer_arguments=arguments
    )  # fmt: skip
    assert epochs[0].metric is None
    assert epochs[1].metric is not None


@pytest.mark.parametrize("method", ["deep-compression", "sparse-vd"])
def test_gradients_accumulated_over_batches_are_those_of_the_larger_batch(method, monkeypatch):
    """The KL counts once a step. Without noise the two runs differ by rounding only."""
    monkeypatch.setattr("bayespress.train.noise._GaussianOutput.apply", lambda mean, variance: mean + 0.0 * variance)
    options = {"prior_precision": 50.0} if method == "deep-compression" else {"initial_log_variance": -2.0}
    common = {"epochs": 2, "warmup_end": 0.0, "optimizer": torch.optim.SGD, "learning_rate": 0.1}
    large = fit(fresh(method, **options), loader(40), **common)
    small = fit(fresh(method, **options), loader(20), trainer_arguments={"accumulate_grad_batches": 2}, **common)
    for name, parameter in large.named_parameters():
        torch.testing.assert_close(small.get_parameter(name), parameter, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("arguments", "offending", "remedy"),
    [
        ({"max_epochs": 3}, "max_epochs", "epochs="),
        ({"precision": "16-mixed"}, "precision", "autocast="),
        ({"plugins": []}, "plugins", "leave it out"),
        ({"gradient_clip": 1.0}, "'gradient_clip'", "gradient_clip_val"),
        ({"profiler": "nothing"}, "nothing", "Lightning takes"),
        ([1], "list", "dictionary"),
    ],
)
def test_rejects_invalid_arguments_of_the_trainer(arguments, offending, remedy):
    with pytest.raises(InputError, match=offending) as caught:
        fit(fresh(), loader(), epochs=1, trainer_arguments=arguments)
    assert remedy in str(caught.value)


def test_a_progress_bar_of_the_caller_takes_the_place_of_ours(capsys):
    fit(fresh(), loader(), epochs=1, progress=True, callbacks=[TQDMProgressBar()])
    assert "Epoch 0" in capsys.readouterr().out
