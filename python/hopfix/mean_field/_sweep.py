"""Many trajectories at different parameters, all at once or in shards on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import as_integer
from hopfix._executor import MOST_PARTS, map_in_order
from hopfix._files import open_archive, replace_archive
from hopfix._npy import bytes_of
from hopfix._progress import Progress, as_progress
from hopfix.mean_field._attractors import forcing_period
from hopfix.mean_field._columns import as_parameters, as_steps, require_model
from hopfix.mean_field._results import Array, Bifurcation, State, mean_and_error, states_from
from hopfix.mean_field._trajectories import SHORTEST, exponents, simulate

if TYPE_CHECKING:
    from hopfix.mean_field._model import AttentionMeanField

_FORMAT = 1


class SweepOptions(NamedTuple):
    """Steps to make, those of them discarded, and exponents wanted (0: none)."""

    steps: int
    discard: int
    exponents: int


def published_start(model: AttentionMeanField, parameters: Array, steps: int) -> State:
    """Where the trajectory with the largest β ends, from the first token."""
    at = int(np.argmax(parameters[0]))
    one = np.ascontiguousarray(parameters[:, at : at + 1])
    nothing = _core.AttentionOutput.nothing
    _, ends = simulate(model, [model.first_token()], steps, steps, nothing, None, one)
    return ends[0]


def bifurcation(
    model: AttentionMeanField,
    parameters: Array,
    options: SweepOptions,
    start: State | None,
    progress: Progress | None,
    executor: Executor | None = None,
) -> Bifurcation:
    """Trajectories at parameters (3, n); see `AttentionMeanField.bifurcation`."""
    steps, discard, wanted = options
    if wanted and steps < max(discard, model.context) + SHORTEST:
        least = max(discard, model.context) + SHORTEST
        raise ValueError(f"steps: got {steps}, need at least {least} for Lyapunov exponents")
    begin = published_start(model, parameters, steps) if start is None else start
    count = parameters.shape[1]
    if executor is None or count == 1:
        return _here(model, parameters, options, begin, progress)
    size = -(-count // MOST_PARTS)
    tasks = [
        (model, np.ascontiguousarray(parameters[:, first : first + size]), options, begin, None)
        for first in range(0, count, size)
    ]

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(min(done * size, count), count)

    return _joined(map_in_order(executor, _here, tasks, report))


def _joined(parts: list[Bifurcation]) -> Bifurcation:
    """One of all parameters, in the order of the parts."""
    exponents = [part.exponents for part in parts if part.exponents is not None]
    errors = [part.error for part in parts if part.error is not None]
    return Bifurcation(
        betas=np.concatenate([part.betas for part in parts]),
        gammas=np.concatenate([part.gammas for part in parts]),
        position_weights=np.concatenate([part.position_weights for part in parts]),
        values=np.concatenate([part.values for part in parts]),
        exponents=np.concatenate(exponents) if exponents else None,
        error=np.concatenate(errors) if errors else None,
        final_states=tuple(state for part in parts for state in part.final_states),
        forcing_period=parts[0].forcing_period,
    )


def _here(
    model: AttentionMeanField,
    parameters: Array,
    options: SweepOptions,
    begin: State,
    progress: Progress | None,
) -> Bifurcation:
    steps, discard, wanted = options
    middle: Any = [begin] * parameters.shape[1]
    nothing = _core.AttentionOutput.nothing
    if discard:
        _, middle = simulate(model, middle, discard, discard, nothing, progress, parameters)
    means = error = None
    if wanted:
        full = middle
        missing = max(0, model.context - len(middle[0].attention))
        if missing:
            _, full = simulate(model, middle, missing, missing, nothing, None, parameters)
        length = steps - max(discard, model.context)
        batches, _ = exponents(model, parameters, full, length, wanted, progress)
        means, error = mean_and_error(batches)
        order = np.argsort(-means, axis=1, kind="stable")
        means = np.take_along_axis(means, order, 1)
        error = np.take_along_axis(error, order, 1)
    ends = middle
    values = np.empty((parameters.shape[1], 0, model.features))
    if steps > discard:
        output = _core.AttentionOutput.semantic_output
        values, ends = simulate(model, middle, steps - discard, 0, output, progress, parameters)
    return Bifurcation(
        betas=parameters[0],
        gammas=parameters[1],
        position_weights=parameters[2],
        values=values,
        exponents=means,
        error=error,
        final_states=tuple(ends),
        forcing_period=forcing_period(model),
    )


@dataclass(frozen=True, eq=False)
class Sweep:
    """A bifurcation on disk: iterate to get its shards, each a `Bifurcation`, one at a time.

    Attributes:
        betas, gammas, position_weights: (n,) the parameters.
        paths: the files of the shards, in the order of the parameters.
    """

    betas: Array
    gammas: Array
    position_weights: Array
    paths: tuple[Path, ...]

    def __iter__(self) -> Iterator[Bifurcation]:
        return (_load(path)[0] for path in self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Sweep({len(self.betas)} parameters in {len(self)} shards)"

    def exponents(self) -> Array:
        """Return (n, k) the Lyapunov exponents of all shards."""
        parts = [shard.exponents for shard in self]
        if any(part is None for part in parts):
            raise ValueError("lyapunov: exponents need a sweep with lyapunov=True")
        return np.concatenate([part for part in parts if part is not None])

    def kinds(self, max_period: int = 512) -> npt.NDArray[np.str_]:
        """Return (n,) what the trajectories end in, see `Bifurcation.kinds`."""
        return np.concatenate([shard.kinds(max_period) for shard in self])


def sweep(
    model: AttentionMeanField,
    betas: npt.ArrayLike,
    steps: int,
    discard: int,
    directory: str | os.PathLike[str],
    lyapunov: bool = False,
    start: State | None = None,
    *,
    count: int | None = None,
    gammas: npt.ArrayLike | None = None,
    position_weights: npt.ArrayLike | None = None,
    shard: int = 256,
    progress: Progress | None = None,
) -> Sweep:
    """Make an `AttentionMeanField.bifurcation` in shards, saved as they are done, and resumed.

    Args:
        model: the network.
        betas: as in `bifurcation`, like all that is not named here.
        steps: as there.
        discard: as there.
        directory: where the shards go, one .npz file each; made if missing. A shard that is
            there already, of the same network and parameters, is not made again.
        lyapunov: as there.
        start: as there.
        count: as there.
        gammas: as there.
        position_weights: as there.
        shard: parameters of one shard.
        progress: called with (parameters done, parameters in all).

    Raises:
        ValueError: naming a shard of another sweep in the directory.
        KeyboardInterrupt: Ctrl-C; the shards done are kept.
    """
    require_model(model)
    options = SweepOptions(*as_steps(steps, discard), model._exponents_wanted(count, lyapunov))
    parameters = as_parameters(model, betas, gammas, position_weights)
    size, folder = as_integer("shard", shard, 1), Path(directory)
    total, report = parameters.shape[1], as_progress(progress)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    begin = start
    for first in range(0, total, size):
        part = np.ascontiguousarray(parameters[:, first : first + size])
        path = folder / f"shard-{first:07d}.npz"
        key = _key(model, parameters, options, start, first, size)
        paths.append(path)
        if path.exists():
            if _load(path)[1] != key:
                raise ValueError(
                    f"directory: {path} belongs to another sweep, need an empty directory or one "
                    "of the same arguments"
                )
        else:
            if begin is None:
                begin = published_start(model, parameters, options.steps)
            _save(bifurcation(model, part, options, begin, None), key, path)
        if report is not None:
            report(min(first + size, total), total)
    return Sweep(parameters[0], parameters[1], parameters[2], tuple(paths))


def _key(
    model: AttentionMeanField,
    parameters: Array,
    options: SweepOptions,
    start: State | None,
    first: int,
    shard: int,
) -> str:
    """What a shard depends on, as a hash."""
    system = model._system
    arrays = [system.projection, system.readouts, system.positions, system.shares, parameters]
    if start is not None:
        arrays.append(np.asarray(start.attention))
        if start.token is not None:
            arrays.append(np.asarray(start.token))
    text = repr((_FORMAT, options, None if start is None else start.position, first, shard))
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(bytes_of(array))
    return digest.hexdigest()


def _save(found: Bifurcation, key: str, path: Path) -> None:
    """Write a shard, in one step."""
    nothing = np.empty((len(found.betas), 0))
    arrays: dict[str, Any] = {
        "sweep": np.array(_FORMAT),
        "key": np.array(key),
        "parameters": np.stack([found.betas, found.gammas, found.position_weights]),
        "values": found.values,
        "exponents": nothing if found.exponents is None else found.exponents,
        "error": nothing if found.error is None else found.error,
        "windows": np.stack([state.attention for state in found.final_states]),
        "position": np.int64(found.final_states[0].position),
        "forcing_period": np.int64(found.forcing_period),
    }
    tokens = [state.token for state in found.final_states]
    if tokens[0] is not None:
        arrays["tokens"] = np.stack([np.asarray(token) for token in tokens])
    replace_archive(path, arrays, compressed=False)


def _load(path: Path) -> tuple[Bifurcation, str]:
    """A shard and the key it was made for."""
    try:
        with open_archive(path, _FORMAT, "bifurcation", key="sweep") as given:
            return _bifurcation(given), str(given["key"])
    except (OSError, ValueError) as error:
        raise ValueError(f"directory: {path} is not a shard of a sweep ({error})") from None


def _bifurcation(given: dict[str, Any]) -> Bifurcation:
    exponents = given["exponents"] if given["exponents"].shape[1] else None
    betas, gammas, position_weights = given["parameters"]
    return Bifurcation(
        betas=betas,
        gammas=gammas,
        position_weights=position_weights,
        values=given["values"],
        exponents=exponents,
        error=None if exponents is None else given["error"],
        final_states=states_from(given["windows"], int(given["position"]), given.get("tokens")),
        forcing_period=int(given["forcing_period"]),
    )
