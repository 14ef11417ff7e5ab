"""The recurrent dynamics of self-attention in the mean field, and the finite network it describes.

A network of N binary units generates tokens: M features project the units through ±1 matrices to
outputs, values, queries and keys, attention over the last L tokens averages the values, and each
unit of the next token is drawn with the field (β/N) Σ_a W^o_ai A_a. As N grows, the attention
A / N becomes deterministic: a map on the last L attentions, with fixed points, cycles, tori and
chaos. `AttentionMeanField` is that map; `classify`, `periodic_orbit` and `follow_orbit` tell what
its trajectories end in, and `sweep` makes many of them on disk.

Source: "Dynamical Mean-Field Theory of Self-Attention Neural Networks".
"""

from hopfix.mean_field import series
from hopfix.mean_field._attractors import (
    Attractor,
    PeriodicOrbit,
    certify_orbit,
    classify,
    periodic_orbit,
)
from hopfix.mean_field._coexistence import attractors
from hopfix.mean_field._continuation import OrbitBranch, OrbitEvent, follow_orbit
from hopfix.mean_field._model import AttentionMeanField
from hopfix.mean_field._network import AttentionNetwork, NetworkState
from hopfix.mean_field._results import (
    Bifurcation,
    LyapunovExponents,
    Sensitivities,
    Simulation,
    State,
)
from hopfix.mean_field._sweep import Sweep, sweep

__all__ = [
    "AttentionMeanField",
    "AttentionNetwork",
    "Attractor",
    "Bifurcation",
    "LyapunovExponents",
    "NetworkState",
    "OrbitBranch",
    "OrbitEvent",
    "PeriodicOrbit",
    "Sensitivities",
    "Simulation",
    "State",
    "Sweep",
    "attractors",
    "certify_orbit",
    "classify",
    "follow_orbit",
    "periodic_orbit",
    "series",
    "sweep",
]
