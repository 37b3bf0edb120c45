"""`bayespress targets`."""

from __future__ import annotations

from .console import JsonFlag, print_json, show, table


def targets(as_json: JsonFlag = False) -> None:
    """List the targets of `build`, and the tools that each target needs and this machine lacks.

    Name your own target as module:target, where target is a bayespress.deploy.compile.targets.Target.

    Example: [bold]bayespress targets[/]

    A processor and extensions may follow the name of a target: [bold]bayespress build packed -t
    arm64-linux:cortex-a76+dotprod[/]. On a GPU, +fp16-products computes products in float16 if the device supports it;
    sums stay float32: [bold]-t adreno+fp16-products[/]
    """
    from ..deploy.compile.targets import all_targets
    from ..deploy.compile.toolchain import missing_for

    rows = [(target, missing_for(target)) for target in all_targets()]
    if as_json:
        print_json(
            [
                {
                    "name": target.name, "description": target.description, "machine": target.machine,
                    "cpus": list(target.cpus), "features": list(target.extensions), "families": list(target.families),
                    "gpu": target.gpu is not None, "missing": missing,
                }
                for target, missing in rows
            ]
        )  # fmt: skip
        return
    overview = table(
        "targets",
        ("", "for", "processors, GPUs", "extensions", "missing tools"),
        [
            (
                target.name, target.description, ", ".join(target.cpus or target.families),
                ", ".join(target.extensions), "; ".join(missing) or "none",
            )
            for target, missing in rows
        ],
    )  # fmt: skip
    for column in overview.columns:
        column.justify = "left"
    show(overview)
