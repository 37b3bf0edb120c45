"""`bayespress sign`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..text import shell_word
from .console import JsonFlag, print_json, show


def sign(
    bundle: Annotated[Path | None, typer.Argument(help="Bundle (folder or .zip) written by `build`.")] = None,
    key: Annotated[Path | None, typer.Option(help="Private Ed25519 key in PEM to sign with.")] = None,
    new_key: Annotated[
        Path | None,
        typer.Option(help="Write a new private key to this file, and the public key to *.public.pem next to it."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Sign a bundle, so that others can check that it comes from you and is unchanged.

    Make a key once: [bold]bayespress sign --new-key release.pem[/]

    Sign with it: [bold]bayespress sign lenet.bundle --key release.pem[/]

    Others verify with the public key: [bold]bayespress verify lenet.bundle --key release.public.pem[/]
    """
    from ..deploy.bundle.sign import new_key as make_key
    from ..deploy.bundle.sign import sign as sign_bundle

    if new_key is not None and bundle is None and key is None:
        public = make_key(new_key)
        if as_json:
            print_json({"private": str(new_key), "public": str(public)})
        else:
            show(f"{new_key}: the private key, keep it secret. {public}: the public key, publish it.")
        return
    if bundle is None or key is None or new_key is not None:
        raise InputError("These options do not fit together; give a bundle and --key, or --new-key alone.")
    sign_bundle(bundle, key)
    if as_json:
        print_json({"bundle": str(bundle), "signed": True})
    else:
        show(f"{bundle} is signed. Next: bayespress verify {shell_word(bundle)} --key PUBLIC_KEY")
