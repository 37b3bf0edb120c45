"""Renders every screen from the app's layouts with the library layer's results for a real bundle.

With BAYESPRESS_PICTURES=BUNDLE the pictures of android_demo/README.md are drawn anew from that bundle.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from android_render import WIDTH, Resources, Screen

pytestmark = [pytest.mark.xdist_group("android"), pytest.mark.slow]
APP = Path(__file__).resolve().parents[2] / "android_demo"
RES = APP / "app" / "src" / "main" / "res"
TABS = ("draw", "model", "benchmark", "verify")
THREE = "0.3,0.25 0.4,0.2 0.55,0.2 0.65,0.3 0.6,0.42 0.48,0.48 0.62,0.54 0.68,0.66 0.58,0.78 0.42,0.8 0.3,0.74"


@pytest.fixture(scope="module")
def shown(built, desktop, tmp_path_factory):
    bundle = os.environ.get("BAYESPRESS_PICTURES") or built("conv", "host")
    width = WIDTH - 2 * Resources.read(RES, night=False).length("@dimen/edge")
    return desktop("screens", bundle, tmp_path_factory.mktemp("screens"), width, THREE)


@pytest.mark.parametrize("night", [False, True])
@pytest.mark.parametrize("tab", TABS)
def test_every_text_and_chart_is_on_its_screen(tab, night, shown):
    screen = Screen(Resources.read(RES, night=night), tab, shown, THREE)
    picture = screen.svg()
    assert {name for name in (*shown["texts"], *shown["charts"]) if name.startswith(f"{tab}_")} <= screen.drawn
    assert screen.widest <= WIDTH, "nothing is cut off at the right"
    for name, text in shown["texts"].items():
        if name.startswith(f"{tab}_") and text:
            assert text.split()[0].replace("&", "&amp;") in picture, name
    if "BAYESPRESS_PICTURES" in os.environ:
        folder = APP / "pictures"
        folder.mkdir(exist_ok=True)
        (folder / f"{tab}{'-night' if night else ''}.svg").write_text(picture)


def test_charts_have_descriptions(shown):
    for chart in shown["charts"].values():
        assert chart["description"].endswith(".")
        assert chart["shapes"]
