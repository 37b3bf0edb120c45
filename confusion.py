"""Which class the examples of each class are taken for: the confusion matrix, as run.json and packed.json keep it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_CLASSES = 100  # the counts grow with the square; records of more classes keep none

_Count = Annotated[int, Field(ge=0)]


class Confusion(BaseModel):
    """Counts by class and prediction.

    counts  (classes, classes): element [i][j] is how many examples of class i were taken for class j; of pixels where
            each pixel has a class

    >>> from bayespress.confusion import Confusion
    >>> found = Confusion(counts=[[8, 2], [0, 10]])
    >>> found.error_percent
    10.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    counts: tuple[tuple[_Count, ...], ...] = Field(max_length=MOST_CLASSES)

    @model_validator(mode="after")
    def _square(self) -> Confusion:
        classes = len(self.counts)
        if any(len(row) != classes for row in self.counts):
            raise ValueError(f"the confusion matrix has {classes} rows and has to have as many columns in each")
        return self

    @property
    def error_percent(self) -> float:
        """Share of the examples that were taken for another class, in percent; 0 where there are none."""
        total = sum(map(sum, self.counts))
        right = sum(row[place] for place, row in enumerate(self.counts))
        return 100.0 * (total - right) / total if total else 0.0
