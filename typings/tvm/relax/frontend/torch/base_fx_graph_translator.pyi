from typing import Any

from torch import fx

from ... import BlockBuilder

class BaseFXGraphImporter:
    block_builder: BlockBuilder
    # Expressions for what the graph computes, and Python's values for what stands in it.
    def retrieve_args(self, node: fx.Node) -> tuple[Any, ...]: ...
