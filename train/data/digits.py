"""The digits inside scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from .dataset import DataSet, Part


def digits(_data_dir: Path | None = None) -> DataSet:
    """The 1,797 handwritten digits that ship inside scikit-learn, 8x8 scaled up to 28x28; nothing is downloaded.

    The split is fixed and stratified: 1,437 to train, 360 to test. No folder is looked at.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    raw = load_digits()
    images = torch.from_numpy(raw.images.astype(np.float32) / 16.0).unsqueeze(1)
    images = F.interpolate(images, size=(28, 28), mode="bilinear", align_corners=False)
    labels = torch.from_numpy(raw.target.astype(np.int64))
    train, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=raw.target, random_state=0)
    return DataSet(
        "digits", Part(images[train], labels[train]), Part(images[test], labels[test]), tuple("0123456789"), 16.0,
        "8x8 pictures of 0 to 16, scaled bilinearly to 28x28",
    )  # fmt: skip
