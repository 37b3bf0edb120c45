from collections.abc import Sequence

from . import Target

def target_has_features(cpu_features: str | Sequence[str], target: str | Target | None = None) -> bool: ...
