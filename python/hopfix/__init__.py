"""Modern Hopfield networks: retrieval at speed, and all their fixed points with proofs.

`Hopfield` is the network; `softmax_map` and `degree` hold the theory of the orthonormal case and
of counting. README.md shows the main job in ten lines.
"""

from hopfix import (
    classical,
    datasets,
    degree,
    faces,
    heads,
    kernel,
    mean_field,
    performer,
    plot,
    queries,
    separation,
    sharded,
    softmax_map,
)
from hopfix._compare import MODELS, Compared, MemoryComparison, compare
from hopfix._config import get_config, show_config
from hopfix._connections import Connections, connections
from hopfix._core import version as __version__
from hopfix._embedding import get_cmake_dir, get_include
from hopfix._results import Certificates, Retrieval
from hopfix.branches import Branch, Branches, BranchEvent
from hopfix.fixed_points import FixedPoint, FixedPoints, Undecided
from hopfix.network import Hopfield

__all__ = [
    "MODELS",
    "Branch",
    "BranchEvent",
    "Branches",
    "Certificates",
    "Compared",
    "Connections",
    "FixedPoint",
    "FixedPoints",
    "Hopfield",
    "MemoryComparison",
    "Retrieval",
    "Undecided",
    "__version__",
    "classical",
    "compare",
    "connections",
    "datasets",
    "degree",
    "faces",
    "get_cmake_dir",
    "get_config",
    "get_include",
    "heads",
    "kernel",
    "mean_field",
    "performer",
    "plot",
    "queries",
    "separation",
    "sharded",
    "show_config",
    "softmax_map",
]
