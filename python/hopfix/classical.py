"""Classical Hopfield networks with Hebbian weights W = Σ x_i x_iᵀ.

`BinaryHopfield` is the network of signs (Hopfield 1982), in exact arithmetic on bits.
"""

from hopfix._binary import BinaryHopfield, BinaryRetrieval

__all__ = ["BinaryHopfield", "BinaryRetrieval"]
