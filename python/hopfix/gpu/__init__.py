"""Hopfield networks in the memory of a GPU, in the array API standard.

``hopfix.Hopfield(patterns, beta)`` with patterns outside host memory, of CuPy, torch or another
library of the array API standard, is a `DeviceHopfield`: its methods take and give back arrays of
that library on that device; so are a `hopfix.performer.Performer` a `DevicePerformer` and a
`hopfix.classical.ContinuousHopfield` a `DeviceContinuousHopfield`. The functions of
`hopfix.separation` (not their `jvp`) and `RandomFeatures.transform` take such arrays, too; all else
is a TypeError that names the argument. The extras ``hopfix[cuda12]`` and ``hopfix[cuda13]`` install
what this needs; for torch `array-api-compat` alone does.

What has been run: everything here on NumPy, torch and JAX on the CPU, and on the second device of
array_api_strict, whose arrays cannot be read from the host by accident. Nothing here has been run
on a GPU: tests/gpu and bench/gpu.py are for whoever has one.

What moves between host and device: one number (how many rows still iterate, whether all numbers
are finite) now and then; from the host random features and the starts of Newton's and Lanczos'
methods; for `fixed_points` to the host the patterns, the states found, which are certified there,
and which of them are near each other, and from there their certified radii.
"""

from hopfix.gpu._continuous import DeviceContinuousHopfield
from hopfix.gpu._network import DeviceHopfield
from hopfix.gpu._performer import DevicePerformer

__all__ = ["DeviceContinuousHopfield", "DeviceHopfield", "DevicePerformer"]
