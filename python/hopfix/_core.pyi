from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Of portions of work: answers, b"" for those given up, and the exception that made it give up.
_Delegate: TypeAlias = Callable[[list[bytes]], tuple[list[bytes], BaseException | None]]

# The metaclass of all classes that pybind11 makes, and what it gives an enumeration.
class _Bound(type): ...

class _Enumeration(metaclass=_Bound):
    __members__: ClassVar[dict[str, Any]]
    def __int__(self) -> int: ...
    def __index__(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

def softmax_map_threshold(n: int, k: int) -> float: ...
def softmax_map_classes(n: int, beta: float) -> NDArray[np.void]: ...

version: str
compiler: str
eigen_version: str

def first_not_finite(x: NDArray[np.floating[Any]]) -> int: ...
def isa() -> str: ...
def isa_built() -> list[str]: ...
def isa_supported() -> list[str]: ...
def available_cpus() -> int: ...

class Network32(metaclass=_Bound):
    def __init__(
        self,
        patterns: NDArray[np.float32],
        beta: float,
        log_weights: NDArray[np.float32] | None,
    ) -> None: ...
    def update(self, states: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
    def partial_update(
        self, states: NDArray[np.float32], threads: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]: ...
    def weights(self, states: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
    def energy(self, states: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
    def jacobian(self, states: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
    def spectral_radius(self, states: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
    def jvp(
        self, states: NDArray[np.float32], tangents: NDArray[np.float32], threads: int
    ) -> NDArray[np.float32]: ...
    def vjp(
        self,
        states: NDArray[np.float32],
        cotangents: NDArray[np.float32],
        wanted: list[bool],
        threads: int,
    ) -> tuple[NDArray[np.float32] | None, ...]: ...
    def retrieve(
        self, states: NDArray[np.float32], max_steps: int, tol: float, threads: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.uint8], NDArray[np.float32]]: ...

class Network64(metaclass=_Bound):
    def __init__(
        self,
        patterns: NDArray[np.float64],
        beta: float,
        log_weights: NDArray[np.float64] | None,
    ) -> None: ...
    def update(self, states: NDArray[np.float64], threads: int) -> NDArray[np.float64]: ...
    def partial_update(
        self, states: NDArray[np.float64], threads: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def weights(self, states: NDArray[np.float64], threads: int) -> NDArray[np.float64]: ...
    def energy(self, states: NDArray[np.float64], threads: int) -> NDArray[np.float64]: ...
    def jacobian(self, states: NDArray[np.float64], threads: int) -> NDArray[np.float64]: ...
    def spectral_radius(self, states: NDArray[np.float64], threads: int) -> NDArray[np.float64]: ...
    def jvp(
        self, states: NDArray[np.float64], tangents: NDArray[np.float64], threads: int
    ) -> NDArray[np.float64]: ...
    def vjp(
        self,
        states: NDArray[np.float64],
        cotangents: NDArray[np.float64],
        wanted: list[bool],
        threads: int,
    ) -> tuple[NDArray[np.float64] | None, ...]: ...
    def retrieve(
        self, states: NDArray[np.float64], max_steps: int, tol: float, threads: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.float64]]: ...

_Answer32: TypeAlias = tuple[NDArray[np.float32], str, int]
_Answer64: TypeAlias = tuple[NDArray[np.float64], str, int]
_Retrieved32: TypeAlias = tuple[
    NDArray[np.float32], NDArray[np.int64], NDArray[np.uint8], NDArray[np.float32]
]
_Retrieved64: TypeAlias = tuple[
    NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.float64]
]

class Similarity(_Enumeration):
    dot: Similarity
    neg_sq_l2: Similarity
    neg_l2: Similarity
    neg_l1: Similarity

class Memory32(metaclass=_Bound):
    def __init__(
        self,
        patterns: NDArray[np.float32],
        beta: float,
        log_weights: NDArray[np.float32] | None,
        values: NDArray[np.float32] | None,
        matrix: NDArray[np.float32] | None,
        similarity: Similarity,
        separation: Separation,
        normalize: bool,
        sparsify_above: float,
    ) -> None: ...
    def map(self, states: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
    def keys(self) -> NDArray[np.float32]: ...
    def update(self, states: NDArray[np.float32], threads: int) -> _Answer32: ...
    def weights(self, states: NDArray[np.float32], threads: int) -> _Answer32: ...
    def energy(self, states: NDArray[np.float32], threads: int) -> _Answer32: ...
    def jvp(
        self, states: NDArray[np.float32], tangents: NDArray[np.float32], threads: int
    ) -> _Answer32: ...
    def vjp(
        self, states: NDArray[np.float32], cotangents: NDArray[np.float32], threads: int
    ) -> _Answer32: ...
    def retrieve(
        self, states: NDArray[np.float32], max_steps: int, tol: float, threads: int
    ) -> tuple[
        tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.uint8], NDArray[np.float32]],
        str,
        int,
    ]: ...

class Memory64(metaclass=_Bound):
    def __init__(
        self,
        patterns: NDArray[np.float64],
        beta: float,
        log_weights: NDArray[np.float64] | None,
        values: NDArray[np.float64] | None,
        matrix: NDArray[np.float64] | None,
        similarity: Similarity,
        separation: Separation,
        normalize: bool,
        sparsify_above: float,
    ) -> None: ...
    def map(self, states: NDArray[np.float64], threads: int) -> NDArray[np.float64]: ...
    def keys(self) -> NDArray[np.float64]: ...
    def update(self, states: NDArray[np.float64], threads: int) -> _Answer64: ...
    def weights(self, states: NDArray[np.float64], threads: int) -> _Answer64: ...
    def energy(self, states: NDArray[np.float64], threads: int) -> _Answer64: ...
    def jvp(
        self, states: NDArray[np.float64], tangents: NDArray[np.float64], threads: int
    ) -> _Answer64: ...
    def vjp(
        self, states: NDArray[np.float64], cotangents: NDArray[np.float64], threads: int
    ) -> _Answer64: ...
    def retrieve(
        self, states: NDArray[np.float64], max_steps: int, tol: float, threads: int
    ) -> tuple[
        tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.float64]],
        str,
        int,
    ]: ...

def solve_fixed_point_adjoint(
    network: Network64,
    states: NDArray[np.float64],
    cotangents: NDArray[np.float64],
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def leading_directions(
    network: Network64, states: NDArray[np.float64], threads: int
) -> NDArray[np.float64]: ...
def nearest_within(
    states: NDArray[np.float64],
    places: NDArray[np.float64],
    reach: NDArray[np.float64],
    threads: int,
) -> NDArray[np.int64]: ...
def certify(network: Network64, states: NDArray[np.float64], threads: int) -> dict[str, Any]: ...
def brouwer_degree(
    network: Network64,
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    max_boxes: int,
    time_limit: float,
    progress: Callable[[int, int], object] | None,
) -> dict[str, Any]: ...
def fixed_points_by_starts(
    network: Network64,
    seed: int,
    max_count: int,
    time_limit: float,
    single_precision: bool,
    progress: Callable[[int, int], object] | None,
    delegate: _Delegate | None,
    threads: int,
) -> tuple[dict[str, Any], BaseException | None]: ...

class CellForm(_Enumeration):
    automatic: CellForm
    weights: CellForm
    hull: CellForm

def work_on_portion(network: Network64, portion: bytes, threads: int) -> bytes: ...
def plan_cells(network: Network64, form: CellForm) -> tuple[CellForm, float]: ...
def fixed_points_by_cells(
    network: Network64,
    form: CellForm,
    max_boxes: int,
    max_count: int,
    time_limit: float,
    symmetry: bool,
    single_precision: bool,
    progress: Callable[[int, int], object] | None,
    delegate: _Delegate | None,
    threads: int,
) -> tuple[dict[str, Any], BaseException | None]: ...
def fixed_points_by_faces(
    network: Network64,
    first: NDArray[np.int64],
    indices: NDArray[np.int64],
    weights: NDArray[np.float64],
    max_count: int,
    max_regions: int,
    boxes: bool,
    time_limit: float,
    single_precision: bool,
    progress: Callable[[int, int], object] | None,
    delegate: _Delegate | None,
    threads: int,
) -> tuple[dict[str, Any], BaseException | None]: ...
def follow_branches(
    network: Network64,
    states: NDArray[np.float64],
    offsets: NDArray[np.float64] | None,
    log_weights: NDArray[np.float64] | None,
    beta_to: float,
    max_steps: int,
    time_limit: float,
    progress: Callable[[int, int], object] | None,
    delegate: _Delegate | None,
    threads: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], bool, BaseException | None]: ...
def correct_states(
    network: Network64, states: NDArray[np.float64], threads: int
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]: ...

reason_box_limit: str
reason_precision: str

def is_equinorm_orthogonal(network: Network64, tolerance: float) -> bool: ...
def subset_weights(n: int, k: int, u: float, v: float, limit: int) -> NDArray[np.float64]: ...

class Separation(metaclass=_Bound):
    def __init__(self, *args: object, **kwargs: object) -> None: ...  # raises: use those below
    @staticmethod
    def softmax() -> Separation: ...
    @staticmethod
    def entmax(alpha: float) -> Separation: ...
    @staticmethod
    def topk(k: int) -> Separation: ...
    @staticmethod
    def polynomial(power: int, rectified: bool) -> Separation: ...

def separate(
    separation: Separation, z: NDArray[np.floating[Any]], threads: int
) -> tuple[NDArray[np.floating[Any]], str, int]: ...
def separation_conjugate(
    separation: Separation, z: NDArray[np.floating[Any]], threads: int
) -> tuple[NDArray[np.floating[Any]], str, int]: ...
def separation_jvp(
    separation: Separation,
    z: NDArray[np.floating[Any]],
    tangents: NDArray[np.floating[Any]],
    threads: int,
) -> tuple[NDArray[np.floating[Any]], str, int]: ...
def critical_faces(
    patterns: NDArray[np.float64],
    offsets: NDArray[np.floating[Any]] | None,
    max_size: int,
    max_count: int,
    time_limit: float,
    progress: Callable[[int, int], object] | None,
    threads: int,
) -> tuple[dict[str, Any], BaseException | None]: ...
def cips_margins(
    patterns: NDArray[np.float64], faces: NDArray[np.int64], threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...

class AttentionOutput(_Enumeration):
    nothing: AttentionOutput
    semantic_output: AttentionOutput
    everything: AttentionOutput

class AttentionSystem(metaclass=_Bound):
    def __init__(
        self,
        projection: NDArray[np.float64],
        readouts: NDArray[np.float64],
        positions: NDArray[np.float64],
    ) -> None: ...

_Window = tuple[NDArray[np.float64], int]

def simulate_attention(
    system: AttentionSystem,
    parameters: NDArray[np.float64],
    attention: NDArray[np.float64],
    token: NDArray[np.float64] | None,
    position: int,
    steps: int,
    discard: int,
    what: AttentionOutput,
    progress: Callable[[int, int], object] | None,
    threads: int,
) -> tuple[NDArray[np.float64], _Window]: ...
def attention_jacobian(
    system: AttentionSystem,
    parameters: NDArray[np.float64],
    attention: NDArray[np.float64],
    position: int,
    threads: int,
) -> NDArray[np.float64]: ...
def attention_exponents(
    system: AttentionSystem,
    parameters: NDArray[np.float64],
    attention: NDArray[np.float64],
    position: int,
    warmup: int,
    steps: int,
    batches: int,
    count: int,
    progress: Callable[[int, int], object] | None,
    threads: int,
) -> tuple[NDArray[np.float64], _Window]: ...
def certify_attention_orbit(
    system: AttentionSystem,
    parameters: NDArray[np.float64],
    attention: NDArray[np.float64],
    position: int,
    inverse: NDArray[np.float64],
    threads: int,
) -> tuple[float, float]: ...

_Memory = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], int, int]

def simulate_network(
    system: AttentionSystem,
    counts: NDArray[np.int64],
    parameters: NDArray[np.float64],
    seed: int,
    memory: _Memory,
    count: int,
    progress: Callable[[int, int], object] | None,
    threads: int,
) -> tuple[NDArray[np.float64], _Memory]: ...
def sample_attention_fields(
    system: AttentionSystem,
    counts: NDArray[np.int64],
    parameters: NDArray[np.float64],
    seed: int,
    attention: NDArray[np.float64],
    position: int,
    first: int,
    count: int,
    threads: int,
) -> NDArray[np.float64]: ...
def sufficient_betas(
    patterns: NDArray[np.float64],
    faces: NDArray[np.int64],
    isolated: bool,
    lemma: bool,
    shrink: float,
    threads: int,
) -> list[dict[str, Any]]: ...
def check_sufficient_beta(
    patterns: NDArray[np.float64],
    face: NDArray[np.int64],
    isolated: bool,
    beta: float,
    shrink: float,
    thickness: float,
    facet_weights: NDArray[np.float64],
    margin_strategies: NDArray[np.float64],
    facet_strategies: NDArray[np.float64],
) -> bool: ...

class SeparationLoss(metaclass=_Bound):
    def __init__(self, kind: str, t: float, normalize: bool) -> None: ...

def separation_loss(
    patterns: NDArray[np.floating[Any]],
    matrix: NDArray[np.floating[Any]],
    loss: SeparationLoss,
    wants_gradient: bool,
    threads: int,
) -> tuple[float, NDArray[np.floating[Any]] | None, int]: ...
def linear_features(
    patterns: NDArray[np.floating[Any]], matrix: NDArray[np.floating[Any]], threads: int
) -> NDArray[np.floating[Any]]: ...
def fit_separation_kernel(
    patterns: NDArray[np.floating[Any]],
    start: NDArray[np.floating[Any]],
    loss: SeparationLoss,
    steps: int,
    rates: NDArray[np.float64],
    batches: NDArray[np.int64],
    tolerance: float,
    time_limit: float,
    progress: Callable[[int, int], object] | None,
    threads: int,
) -> tuple[dict[str, Any], BaseException | None]: ...
def pack_signs(rows: NDArray[np.floating[Any]], threads: int) -> tuple[NDArray[np.uint64], int]: ...
def unpack_signs32(
    words: NDArray[np.uint64], dim: int, threads: int
) -> NDArray[np.floating[Any]]: ...
def unpack_signs64(
    words: NDArray[np.uint64], dim: int, threads: int
) -> NDArray[np.floating[Any]]: ...

_Signs: TypeAlias = NDArray[np.uint64]

class BinaryNetwork(metaclass=_Bound):
    def __init__(
        self,
        patterns: _Signs,
        dim: int,
        bias: NDArray[np.floating[Any]] | None,
        zero_diagonal: bool,
    ) -> None: ...
    def patterns(self) -> _Signs: ...
    def update(self, states: _Signs, threads: int) -> _Signs: ...
    def energy(self, states: _Signs, threads: int) -> NDArray[np.float64]: ...
    def retrieve_synchronous(
        self, states: _Signs, max_steps: int, threads: int
    ) -> tuple[_Signs, NDArray[np.int64], NDArray[np.uint8]]: ...
    def retrieve_asynchronous(
        self, states: _Signs, max_steps: int, random: bool, seed: int, threads: int
    ) -> tuple[_Signs, NDArray[np.int64], NDArray[np.uint8]]: ...

class ContinuousNetwork32(metaclass=_Bound):
    def __init__(
        self,
        patterns: NDArray[np.float32],
        gain: float,
        bias: NDArray[np.float32] | None,
        zero_diagonal: bool,
        sparsify_above: float,
        sparsify_top: int,
    ) -> None: ...
    def update(self, states: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
    def energy(self, states: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
    def jacobian(self, states: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
    def retrieve(
        self, states: NDArray[np.float32], max_steps: int, tol: float, threads: int
    ) -> _Retrieved32: ...

class ContinuousNetwork64(metaclass=_Bound):
    def __init__(
        self,
        patterns: NDArray[np.float64],
        gain: float,
        bias: NDArray[np.float64] | None,
        zero_diagonal: bool,
        sparsify_above: float,
        sparsify_top: int,
    ) -> None: ...
    def update(self, states: NDArray[np.float64], threads: int) -> NDArray[np.float64]: ...
    def energy(self, states: NDArray[np.float64], threads: int) -> NDArray[np.float64]: ...
    def jacobian(self, states: NDArray[np.float64], threads: int) -> NDArray[np.float64]: ...
    def retrieve(
        self, states: NDArray[np.float64], max_steps: int, tol: float, threads: int
    ) -> _Retrieved64: ...
    def newton(
        self, states: NDArray[np.float64], max_steps: int, tol: float, threads: int
    ) -> _Retrieved64: ...
    def certify(self, states: NDArray[np.float64], threads: int) -> dict[str, Any]: ...

def random_features32(
    matrix: NDArray[np.float32],
    rectified: bool,
    offset: float,
    rows: NDArray[np.float32],
    threads: int,
) -> NDArray[np.float32]: ...
def transposed_product32(
    a: NDArray[np.float32], b: NDArray[np.float32], threads: int
) -> NDArray[np.float32]: ...
def random_features64(
    matrix: NDArray[np.float64],
    rectified: bool,
    offset: float,
    rows: NDArray[np.float64],
    threads: int,
) -> NDArray[np.float64]: ...
def transposed_product64(
    a: NDArray[np.float64], b: NDArray[np.float64], threads: int
) -> NDArray[np.float64]: ...

class AssociationOperands32(metaclass=_Bound):
    def __init__(
        self,
        queries: NDArray[np.float32],
        patterns: NDArray[np.float32],
        values: NDArray[np.float32],
        pattern_bias: NDArray[np.float32] | None,
        bias: NDArray[np.float32] | None,
        beta: NDArray[np.float32],
        max_steps: NDArray[np.int64],
        tolerance: NDArray[np.float64],
        maps: NDArray[np.float32] | None,
        shifts: NDArray[np.float32] | None,
    ) -> None: ...

class AssociationOperands64(metaclass=_Bound):
    def __init__(
        self,
        queries: NDArray[np.float64],
        patterns: NDArray[np.float64],
        values: NDArray[np.float64],
        pattern_bias: NDArray[np.float64] | None,
        bias: NDArray[np.float64] | None,
        beta: NDArray[np.float64],
        max_steps: NDArray[np.int64],
        tolerance: NDArray[np.float64],
        maps: NDArray[np.float64] | None,
        shifts: NDArray[np.float64] | None,
    ) -> None: ...

def associate(
    operands: AssociationOperands32 | AssociationOperands64,
    out: NDArray[np.floating[Any]],
    steps: NDArray[np.int64],
    states: NDArray[np.floating[Any]] | None,
    log_sums: NDArray[np.floating[Any]] | None,
    threads: int,
    team: int,
) -> int: ...
def normalize_rows(
    x: NDArray[np.floating[Any]],
    eps: float,
    y: NDArray[np.floating[Any]],
    means: NDArray[np.floating[Any]],
    inverses: NDArray[np.floating[Any]],
    threads: int,
    team: int,
) -> None: ...
def associate_adjoint(
    operands: AssociationOperands32 | AssociationOperands64,
    out: NDArray[np.floating[Any]],
    steps: NDArray[np.int64],
    states: NDArray[np.floating[Any]],
    log_sums: NDArray[np.floating[Any]],
    out_cotangents: NDArray[np.floating[Any]],
    query_gradient: NDArray[np.floating[Any]],
    pattern_gradient: NDArray[np.floating[Any]],
    value_gradient: NDArray[np.floating[Any]] | None,
    beta_gradient: NDArray[np.float64],
    state_gradient: NDArray[np.floating[Any]] | None,
    threads: int,
    team: int,
) -> int: ...
