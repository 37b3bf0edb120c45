"""`bayespress targets`."""

from __future__ import annotations

from .console import JsonFlag, print_json, show, table


def targets(as_json: JsonFlag = False) -> None:
    """List what `build` can compile for, and whether what each needs is installed.

    A target of your own is named as module:target, a bayespress.deploy.compile.targets.Target in a module of yours.

    Example: [bold]bayespress targets[/]

    A processor and extensions may follow a target's name: [bold]bayespress build packed -t
    arm64-linux:cortex-a76+dotprod[/]; a GPU's fp16 has products computed in float16 where the device can, sums staying
    float32: [bold]-t adreno+fp16-products[/]
    """
    from ..deploy.compile.targets import all_targets
    from ..deploy.compile.toolchain import missing_for

    rows = [(each, missing_for(each)) for each in all_targets()]
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
    made = table(
        "targets",
        ("", "for", "processors, GPUs", "extensions", "missing here"),
        [
            (
                t.name, t.description, ", ".join(t.cpus or t.families), ", ".join(t.extensions),
                "; ".join(missing) or "nothing",
            )
            for t, missing in rows
        ],
    )  # fmt: skip
    for column in made.columns:
        column.justify = "left"
    show(made)
