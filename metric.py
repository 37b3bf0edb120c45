"""The metric of a network: its name, its unit, and which direction is better."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Metric(BaseModel):
    """The metric that measures a network's quality. run.json and packed.json store it once for all their values.

    name             as "error" or "RMSE"
    unit             "%", the unit of the targets, or "" for a pure number
    lower_is_better  False if a higher value is better, as for an accuracy

    >>> from bayespress.metric import ERROR, Metric
    >>> ERROR.text(1.5), Metric(name="RMSE").text(0.123456), ERROR.text(None)
    ('1.50 %', '0.1235', '–')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    unit: str = ""
    lower_is_better: bool = True

    def text(self, value: float | None) -> str:
        """A value with its unit, for tables; a dash for None."""
        if value is None:
            return "–"
        return f"{value:.2f} %" if self.unit == "%" else f"{value:.4g} {self.unit}".rstrip()

    def title(self, part: str = "") -> str:
        """The heading of a column or an axis, as "test error, %"."""
        return f"{part} {self.name}".strip() + (f", {self.unit}" if self.unit else "")


ERROR = Metric(name="error", unit="%")  # top-1 error of a classifier
