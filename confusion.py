"""The confusion matrix of a classifier, as stored in run.json and packed.json."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_CLASSES = 100  # the size grows with the square; a record with more classes stores no matrix

_Count = Annotated[int, Field(ge=0)]


class Confusion(BaseModel):
    """Numbers of examples by true class and predicted class.

    counts  shape (classes, classes): element [i][j] is the number of examples of class i that were predicted as class
            j; for segmentation, the number of pixels

    >>> from bayespress.confusion import Confusion
    >>> matrix = Confusion(counts=[[8, 2], [0, 10]])
    >>> matrix.error_percent
    10.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    counts: tuple[tuple[_Count, ...], ...] = Field(max_length=MOST_CLASSES)

    @model_validator(mode="after")
    def _square(self) -> Confusion:
        classes = len(self.counts)
        if any(len(row) != classes for row in self.counts):
            raise ValueError(f"the confusion matrix has {classes} rows, so each row must have {classes} columns")
        return self

    @property
    def error_percent(self) -> float:
        """Percentage of examples that were predicted as another class; 0 without examples."""
        total = sum(map(sum, self.counts))
        correct = sum(row[index] for index, row in enumerate(self.counts))
        return 100.0 * (total - correct) / total if total else 0.0
