"""Copying a bundle into the Android app, the Gradle project android_demo."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ...outputs import check_output, output_file
from ..bundle.format import ZIPPED_BUNDLE, opened, write_zip

APP_TARGETS = ("opencl-android", "armv7-android")  # the default targets for an app
_ASSET = Path("app/src/main/assets/bundle.zip")


def check_app(app: Path, *, overwrite: bool = False) -> None:
    """Raise InputError unless `app` is the folder of android_demo and a bundle can be written into it.

    overwrite  whether to replace the app's present bundle
    """
    if not (app / "app" / "src" / "main" / "AndroidManifest.xml").is_file():
        raise InputError(f"{app} is not the Gradle project of android_demo (it has no app/src/main); give its folder.")
    check_output(app / _ASSET, ZIPPED_BUNDLE, overwrite=overwrite)


def put_into_app(bundle: Path, app: Path, *, overwrite: bool = False) -> Path:
    """Make the bundle the default bundle of the app in the Gradle project `app`, and return the asset's path.

    overwrite  whether to replace the app's present bundle

    Raises InputError if there is no such project, or if the bundle has no library for Android.
    """
    check_app(app, overwrite=overwrite)
    asset = app / _ASSET
    with opened(bundle) as opened_bundle:
        if not any(entry.library and entry.android for entry in opened_bundle.manifest.targets.values()):
            options = " and ".join(f"-t {name}" for name in APP_TARGETS)
            raise InputError(f"{bundle} has no library for Android; build it with {options}.")
        with output_file(asset, ZIPPED_BUNDLE, overwrite=overwrite, inputs=(bundle,)) as temporary:
            write_zip(opened_bundle.folder, temporary)
    return asset
