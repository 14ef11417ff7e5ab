"""Classical Hopfield networks with Hebbian weights W = Σ x_i x_iᵀ.

`BinaryHopfield` is the network of signs (Hopfield 1982), in exact arithmetic on bits;
`ContinuousHopfield` the one of graded responses (Hopfield 1984), also in its sparse variant.
"""

from hopfix._binary import BinaryHopfield, BinaryRetrieval
from hopfix._continuous import ContinuousHopfield

__all__ = ["BinaryHopfield", "BinaryRetrieval", "ContinuousHopfield"]
