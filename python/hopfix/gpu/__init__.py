"""Hopfield networks in the memory of a GPU, in the array API standard.

``hopfix.Hopfield(patterns, beta)`` with patterns outside host memory, of CuPy, torch or another
library of the array API standard, is a `DeviceHopfield`: its methods take and give back arrays of
that library on that device. The extras ``hopfix[cuda12]`` and ``hopfix[cuda13]`` install what this
needs; for torch `array-api-compat` alone does.

What has been run: everything here on NumPy, torch and JAX on the CPU, and on the second device of
array_api_strict, whose arrays cannot be read from the host by accident. Nothing here has been run
on a GPU: tests/gpu and bench/gpu.py are for whoever has one.

What moves between host and device: one number (how many rows still iterate, whether all numbers
are finite) now and then; from the host the starts of Newton's and Lanczos' methods; to the host,
for `fixed_points`, the patterns and the states found, which are certified there.
"""

from hopfix.gpu._network import DeviceHopfield

__all__ = ["DeviceHopfield"]
