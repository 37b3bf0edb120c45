"""Renders the screens of android_demo as SVG from the app's layouts, styles, colours and strings.

It knows as much of Android's layout as those layouts use: columns and rows of views, widths by weight, wrapped text
(letters of an average width), and the charts and texts that the app's library layer gives for a real bundle. Fonts and
widgets are not Android's.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from pathlib import Path
from xml.etree import ElementTree as ET

_A = "{http://schemas.android.com/apk/res/android}"
WIDTH = 360.0
_LETTER = 0.53  # average width of a letter divided by the size of the text
_LINE = 1.35


@dataclass(frozen=True)
class Resources:
    """The resources that layouts refer to, in one theme."""

    folder: Path
    colours: dict[str, str]
    dimensions: dict[str, str]
    strings: dict[str, str]
    styles: dict[str, ET.Element]

    @classmethod
    def read(cls, folder: Path, *, night: bool) -> Resources:
        def values(file: str, tag: str, where: str = "values") -> dict[str, str]:
            return {each.get("name", ""): each.text or "" for each in ET.parse(folder / where / file).iter(tag)}

        colours = values("colors.xml", "color") | (values("colors.xml", "color", "values-night") if night else {})
        styles = {each.get("name", ""): each for each in ET.parse(folder / "values" / "styles.xml").iter("style")}
        dimensions, strings = values("dimens.xml", "dimen"), values("strings.xml", "string")
        return cls(folder, colours, dimensions, strings, styles)

    def attributes(self, view: ET.Element) -> dict[str, str]:
        """A view's attributes, which override those of its style and of the style's parents."""
        found: dict[str, str] = {}
        name = view.get("style", "").removeprefix("@style/")
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            style = self.styles.get(".".join(parts[:count]))
            for item in style if style is not None else ():
                found[item.get("name", "").removeprefix("android:")] = item.text or ""
        found |= {key.removeprefix(_A): value for key, value in view.attrib.items() if key.startswith(_A)}
        return found

    def length(self, text: str | None) -> float:
        """A dimension in density-independent pixels."""
        text = self.dimensions.get((text or "0").removeprefix("@dimen/"), text or "0")
        return float(text.rstrip("dpsx") or 0)

    def colour(self, text: str | None, otherwise: str) -> str:
        """A colour as #RRGGBB."""
        name = (text or f"@color/{otherwise}").removeprefix("@color/").replace("@drawable/main_action", "accent")
        return "#" + self.colours.get(name, self.colours[otherwise])[3:]

    def text(self, reference: str) -> str:
        return self.strings.get(reference.removeprefix("@string/"), reference)


class Screen:
    """One screen. `shown` has texts and charts by the ids of their views, as printed by Desktop.kt's `screens`."""

    def __init__(self, resources: Resources, tab: str, shown: dict, strokes: str) -> None:
        self.resources, self.tab, self.shown, self.strokes = resources, tab, shown, strokes
        self.drawn: set[str] = set()
        self.widest = 0.0
        self.parts: list[str] = []

    def svg(self) -> str:
        """The screen as SVG."""
        layout = ET.parse(self.resources.folder / "layout" / f"screen_{self.tab}.xml").getroot()
        bottom = max(self._view(layout, 0.0, 8.0, WIDTH), 560.0)
        tabs = ET.parse(self.resources.folder / "layout" / "activity_main.xml").getroot().find("RadioGroup")
        self._box(0, bottom, WIDTH, 56, self.resources.colour(None, "card"))
        buttons = list(tabs) if tabs is not None else []
        for index, button in enumerate(buttons):
            name = button.get(f"{_A}id", "").rpartition("_")[2]
            colour = self.resources.colour(None, "accent" if name == self.tab else "muted")
            middle = WIDTH * (index + 0.5) / len(buttons)
            self._text(middle, bottom + 34, 15, self.resources.text(button.get(f"{_A}text", "")), colour, "middle")
        height = bottom + 56
        paper = self.resources.colour(None, "paper")
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" width="{WIDTH:g}" '
            f'font-family="Roboto, Helvetica, Arial, sans-serif"><rect width="100%" height="100%" fill="{paper}"/>'
        )
        return "\n".join([head, *self.parts, "</svg>"]) + "\n"

    def _view(self, view: ET.Element, x: float, y: float, width: float) -> float:
        """Draw a view and return the position of its lower edge."""
        it = self.resources.attributes(view)
        name = it.get("id", "").partition("/")[2]
        y += self.resources.length(it.get("layout_marginTop"))
        below = self.resources.length(it.get("layout_marginBottom"))
        kind = view.tag.rpartition(".")[2]
        if kind == "ScrollView":
            return self._view(view[0], x, y, width)
        if kind == "LinearLayout":
            return self._group(view, it, x, y, width) + below
        if name:
            self.drawn.add(name)
        draw = {"SceneView": self._chart, "DigitView": self._digit, "Button": self._button, "EditText": self._field,
                "CheckBox": self._check}.get(kind, self._words)  # fmt: skip
        return draw(it, name, x, y, width) + below

    def _group(self, view: ET.Element, it: dict[str, str], x: float, y: float, width: float) -> float:
        pad = self.resources.length(it.get("padding"))
        if it.get("orientation") == "horizontal":
            room = (width - 2 * pad) / len(view)
            return max(self._view(each, x + pad + n * room, y + pad, room) for n, each in enumerate(view)) + pad
        y += pad
        for each in view:
            y = self._view(each, x + pad, y, width - 2 * pad)
        return y + pad

    def _words(self, it: dict[str, str], name: str, x: float, y: float, width: float) -> float:
        text = self.shown["texts"].get(name, self.resources.text(it.get("text", "")))
        size = self.resources.length(it.get("textSize"))
        colour = self.resources.colour(it.get("textColor"), "ink")
        middle = "center" in it.get("gravity", "")
        for paragraph in text.split("\n"):
            for line in textwrap.wrap(paragraph, max(8, int(width / (size * _LETTER)))) or [""]:
                y += size * _LINE
                at = x + width / 2 if middle else x
                bold = it.get("textStyle") == "bold"
                self._text(at, y - size * 0.3, size, line, colour, "middle" if middle else "start", bold=bold)
        return y

    def _button(self, it: dict[str, str], name: str, x: float, y: float, width: float) -> float:
        text = self.resources.text(it.get("text", ""))
        if it.get("background"):
            self._box(x, y, width, 48, self.resources.colour(it["background"], "accent"), 8)
            self._text(x + width / 2, y + 30, 15, text, self.resources.colour(it.get("textColor"), "ink"), "middle")
        else:
            self._text(x + 4, y + 30, 15, text, self.resources.colour(it.get("textColor"), "ink"), "start")
        return y + 48

    def _field(self, it: dict[str, str], name: str, x: float, y: float, width: float) -> float:
        self._text(x, y + 28, 16, it.get("text", ""), self.resources.colour(it.get("textColor"), "ink"), "start")
        self._box(x, y + 38, width, 1, self.resources.colour(None, "muted"))
        return y + 48

    def _check(self, it: dict[str, str], name: str, x: float, y: float, width: float) -> float:
        self.parts.append(
            f'<rect x="{x + 2:g}" y="{y + 15:g}" width="18" height="18" rx="2" fill="none" stroke-width="2" '
            f'stroke="{self.resources.colour(None, "muted")}"/>'
        )
        self._text(
            x + 32, y + 30, 16, self.resources.text(it.get("text", "")), self.resources.colour(None, "ink"), "start"
        )
        return y + 48

    def _digit(self, it: dict[str, str], name: str, x: float, y: float, width: float) -> float:
        side = self.resources.length(it.get("layout_width"))
        left = x + (width - side) / 2
        self._box(left, y, side, side, self.resources.colour(None, "track"))
        for stroke in self.strokes.split(";"):
            points = [tuple(map(float, pair.split(","))) for pair in stroke.split()]
            line = " ".join(f"{left + px * side:g},{y + py * side:g}" for px, py in points)
            self.parts.append(
                f'<polyline points="{line}" fill="none" stroke="{self.resources.colour(None, "ink")}" '
                f'stroke-width="{side / 14:g}" stroke-linecap="round" stroke-linejoin="round"/>'
            )
        return y + side

    def _chart(self, it: dict[str, str], name: str, x: float, y: float, width: float) -> float:
        chart = self.shown["charts"][name]
        for shape in chart["shapes"]:
            colour = self.resources.colour(None, shape["tone"])
            if shape["kind"] == "box":
                self._box(x + shape["x"], y + shape["y"], shape["width"], shape["height"], colour)
            else:
                self._text(x + shape["x"], y + shape["y"], shape["size"], shape["text"], colour, shape["anchor"])
        return y + chart["height"]

    def _box(self, x: float, y: float, width: float, height: float, colour: str, round_by: float = 0) -> None:
        self.widest = max(self.widest, x + width)
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{max(width, 0):g}" height="{height:g}" rx="{round_by:g}" '
            f'fill="{colour}"/>'
        )

    def _text(
        self, x: float, y: float, size: float, text: str, colour: str, anchor: str, *, bold: bool = False
    ) -> None:
        length = len(text) * size * _LETTER
        self.widest = max(self.widest, x + length * {"start": 1.0, "middle": 0.5, "end": 0.0}[anchor])
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}"{weight}>'
            f"{escape(text)}</text>"
        )
