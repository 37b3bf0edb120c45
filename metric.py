"""What a figure of quality is: its name, its unit, and which direction is better."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Metric(BaseModel):
    """The figure that a network is judged by; run.json and packed.json name it once for all their figures.

    name             as in "error" or "RMSE"
    unit             of the figure: "%", the unit of the targets, or "" for a pure number
    lower_is_better  False for a figure that rises with the quality, such as an accuracy

    >>> from bayespress.metric import ERROR, Metric
    >>> ERROR.text(1.5), Metric(name="RMSE").text(0.123456), ERROR.text(None)
    ('1.50 %', '0.1235', '–')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    unit: str = ""
    lower_is_better: bool = True

    def text(self, value: float | None) -> str:
        """A value with its unit, for tables; a dash for one that was not measured."""
        if value is None:
            return "–"
        return f"{value:.2f} %" if self.unit == "%" else f"{value:.4g} {self.unit}".rstrip()

    def title(self, part: str = "") -> str:
        """The head of a column or an axis, as in "test error, %"."""
        return f"{part} {self.name}".strip() + (f", {self.unit}" if self.unit else "")


ERROR = Metric(name="error", unit="%")  # top-1 error of a classifier
