"""A bundle's place in the Android app, the Gradle project android_demo."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ...outputs import check_output, output_file
from ..bundle.format import ZIPPED_BUNDLE, opened, write_zip

APP_TARGETS = ("opencl-android", "armv7-android")  # the targets that an app is built for by default
_ASSET = Path("app/src/main/assets/bundle.zip")


def check_app(app: Path, *, overwrite: bool = False) -> None:
    """Raises InputError unless `app` is the folder of android_demo, and takes the bundle.

    overwrite  replace a bundle that the app has already
    """
    if not (app / "app" / "src" / "main" / "AndroidManifest.xml").is_file():
        raise InputError(f"{app} is not the Gradle project of android_demo (it has no app/src/main); give its folder.")
    check_output(app / _ASSET, ZIPPED_BUNDLE, overwrite=overwrite)


def put_into_app(bundle: Path, app: Path, *, overwrite: bool = False) -> Path:
    """Make the bundle the one that the app of the Gradle project `app` starts with; the asset's path.

    overwrite  replace a bundle that the app has already

    Raises InputError where there is no such project, and for a bundle that no phone can load.
    """
    check_app(app, overwrite=overwrite)
    asset = app / _ASSET
    with opened(bundle) as it:
        if not any(entry.library and entry.android for entry in it.manifest.targets.values()):
            options = " and ".join(f"-t {name}" for name in APP_TARGETS)
            raise InputError(f"{bundle} has no library for Android; build it with {options}.")
        with output_file(asset, ZIPPED_BUNDLE, overwrite=overwrite, inputs=(bundle,)) as temporary:
            write_zip(it.folder, temporary)
    return asset
