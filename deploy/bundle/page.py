"""The page of a bundle, from its manifest: what it holds for each target, and what an app grows by."""

from __future__ import annotations

from pathlib import PurePosixPath

from ...html_report.charts import Bar, bar_chart
from ...html_report.figures import Latency, latency_cards, latency_charts, metric_cards, size_cards, steps_table
from ...html_report.page import Card, Chart, Page, Part, Section, Table
from .format import GRAPH
from .manifest import KernelDecisionRecord, Manifest, TargetEntry

_WEIGHTS = "weights.bpz"
_MOST_LABELS = 20  # that are listed


def bundle_page(manifest: Manifest, latency: Latency | None = None, *, signed: bool = False) -> Page:
    """The page of a bundle.

    latency  what `bench` measured of it, if anything
    signed   whether it carries a signature; whose it is, `verify --key` checks
    """
    steps, metric = manifest.steps, manifest.measured_by
    sections = [
        Section("", [_parts(manifest), *latency_charts(latency)]),
        Section("Targets", [_targets(manifest)] if manifest.targets else []),
        *(
            Section(title, [*_expected(kernels, title), _kernels(kernels)])
            for name, entry in manifest.targets.items()
            for title, kernels in _kernel_tables(name, entry)
        ),
        Section("Compression, by step", [steps_table(steps, metric, manifest.part)] if steps else []),
        Section("Network", [_network(manifest, signed=signed)]),
        Section("Files", [_files(manifest)]),
    ]
    targets = ", ".join(manifest.targets) or "no target"
    return Page(manifest.name, f"A bundle for {targets}.", _cards(manifest, latency), sections)


def app_growth(manifest: Manifest) -> dict[str, int]:
    """Bytes that an app grows by for each Android target: the library with the compiled network, and the weights."""
    sizes = {file.path: file.size for file in manifest.files}
    return {
        name: sizes[entry.library] + sizes.get(_WEIGHTS, 0)
        for name, entry in manifest.targets.items()
        if entry.android and entry.library in sizes
    }


def _cards(manifest: Manifest, latency: Latency | None) -> list[Card]:
    cards = metric_cards(manifest.steps, manifest.measured_by, manifest.part)
    cards += size_cards(manifest.original_bytes, manifest.packed_bytes)
    for name, size in app_growth(manifest).items():
        cards.append(Card("An app grows by", f"{size / 1000:,.1f} kB", f"{name}: library and weights, uncompressed"))
    sizes = {file.path: file.size for file in manifest.files}
    runners = [(sizes[entry.runner], name) for name, entry in manifest.targets.items() if entry.runner in sizes]
    if runners:
        size, name = min(runners)
        cards.append(Card("Smallest runner", f"{size / 1000:,.1f} kB", f"of {name}"))
    return cards + latency_cards(latency)


def _parts(manifest: Manifest) -> Chart:
    """Bytes of the bundle by what they are for."""
    groups: dict[str, int] = {}
    for file in manifest.files:
        first, *rest = PurePosixPath(file.path).parts
        names = {_WEIGHTS: "weights", GRAPH: "graph without weights", "golden": "golden vectors"}
        name = f"target {rest[0]}" if first == "targets" and rest else names.get(first, first)
        groups[name] = groups.get(name, 0) + file.size
    bars = [Bar(name, size) for name, size in sorted(groups.items(), key=lambda group: -group[1])]
    return Chart("Bytes of the bundle", bar_chart(bars, "bytes", name="part"))


def _targets(manifest: Manifest) -> Table:
    sizes = {file.path: file.size for file in manifest.files}

    def size(path: str | None) -> str:
        return f"{sizes[path]:,}" if path in sizes else ""

    rows = [
        (
            name, entry.machine, size(entry.runner), size(entry.archive), size(entry.library),
            *_counts(entry.layers), "float16" if entry.half else "float32" if entry.gpu else "",
        )
        for name, entry in manifest.targets.items()
    ]  # fmt: skip
    head = ("target", "machine", "runner, bytes", "archive, bytes", "library, bytes", "dense kernels", "sparse kernels",
            "products on the GPU")  # fmt: skip
    return Table(head, rows)


def _counts(kernels: tuple[KernelDecisionRecord, ...]) -> tuple[str, str]:
    sparse = sum(each.kernel == "sparse" for each in kernels)
    return str(len(kernels) - sparse), str(sparse)


def _kernel_tables(name: str, entry: TargetEntry) -> list[tuple[str, tuple[KernelDecisionRecord, ...]]]:
    tables = [(f"Kernels of {name}", entry.layers), (f"Kernels of {name} on the GPU", entry.gpu_layers)]
    return [(title, kernels) for title, kernels in tables if kernels]


def _expected(kernels: tuple[KernelDecisionRecord, ...], title: str) -> list[Part]:
    """What each layer was expected to take on the kernel that was chosen; nothing where there is no model of cost."""
    times = [(each.layer, each.sparse_us if each.kernel == "sparse" else each.dense_us) for each in kernels]
    bars = [Bar(layer, round(time, 3)) for layer, time in times if time is not None]
    if not bars:
        return []
    note = "Estimated by the cost model when the bundle was built, not measured."
    return [Chart(f"{title}: estimated time", bar_chart(bars, "estimated, µs", name="layer"), note, wide=True)]


def _kernels(kernels: tuple[KernelDecisionRecord, ...]) -> Table:
    def time(value: float | None) -> str:
        return "" if value is None else f"{value:,.2f}"

    rows = [
        (
            each.layer,
            each.kernel,
            f"{each.density_percent:.2f} %",
            time(each.dense_us),
            time(each.sparse_us),
            each.reason,
        )
        for each in kernels
    ]
    return Table(("layer", "kernel", "non-zero", "dense, estimated µs", "sparse, estimated µs", "reason"), rows)


def _network(manifest: Manifest, *, signed: bool) -> Table:
    pre = manifest.preprocessing
    rows = [
        ("input, one example", _shape(manifest.input_shape)),
        ("output, one example", _shape(manifest.output_shape)),
        ("preprocessing", pre.description or f"(byte / {pre.scale:g} - {pre.mean:g}) / {pre.std:g}"),
        ("labels", _names(manifest.labels)),
        ("data set", manifest.data or "not known"),
        ("parameters before compression", f"{manifest.original_parameters:,}"),
        ("golden vectors", f"{manifest.golden_examples:,}"),
        ("signature", "present; `verify --key` checks whose it is" if signed else "none"),
        ("digest of the manifest", manifest.digest),
    ]
    return Table((), rows)


def _names(labels: tuple[str, ...]) -> str:
    """The first labels, and how many more there are."""
    more = f" and {len(labels) - _MOST_LABELS:,} more" if len(labels) > _MOST_LABELS else ""
    return (", ".join(labels[:_MOST_LABELS]) or "none") + more


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a number"


def _files(manifest: Manifest) -> Table:
    rows = [(file.path, f"{file.size:,}", file.sha256) for file in manifest.files]
    return Table(("file", "bytes", "SHA-256"), rows)
