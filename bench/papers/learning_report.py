"""What the learning experiments show: tables, comparisons with the publication, and a picture."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import mlxtend
import numpy as np
import statsmodels
import torch
from learning_data import SERIES, baselines, windows
from learning_models import ABSENT, ARMS, BOTH, INPUT, KERNEL, NONE, PUBLISHED, SERIES_ARMS, UHOP
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from results import table

import hopfix

Run = dict[str, Any]
Measure = Callable[[Run], float]

PAIRS = (
    (NONE, ABSENT),
    (UHOP, NONE),
    (UHOP, KERNEL),
    (BOTH, KERNEL),
    (PUBLISHED, NONE),
    (PUBLISHED, INPUT),
)
QUESTIONS = {
    "largest training accuracy (Figure 4)": "higher with U-Hop, the more so the more samples",
    "test accuracy (Table 1)": "higher with U-Hop",
    "training loss, mean over epochs (Figure 6)": "falls faster with U-Hop",
    "forecast error (Table 8)": "as low or lower with U-Hop",
}
NOTES = (
    "The published numbers are of CIFAR-10, CIFAR-100, Tiny ImageNet and the series of STanHop, "
    "which no package ships; what is compared is the direction.",
    'The published code takes torch.softmax whatever "activation" is given, so that its sparse '
    "layers are dense; its steps on the separation loss go to every parameter that the loss "
    "depends on, the embedding of patches among them; its default patch is the whole 32 x 32 "
    "image, which leaves two patterns to separate, one of them the query; and its layers with and "
    "without U-Hop differ in more than U-Hop: the values are projections of the patterns with it, "
    'and of the keys without. Here "U-Hop, published code" differs from "input kernel" in the '
    "steps on the separation loss alone.",
    "Differences are paired: arms of one seed start as the same function, with the same data. A "
    "difference counts where its mean is more than two standard errors from zero; pairs are few, "
    "and nothing is corrected for the number of comparisons.",
)
_COLOURS = {
    NONE.name: "black", KERNEL.name: "#888888", UHOP.name: "#CC3311", BOTH.name: "#EE7733",
    INPUT.name: "#0077BB", PUBLISHED.name: "#33BBEE", ABSENT.name: "#117733",
}  # fmt: skip


def machine() -> Run:
    """Return the versions that results depend on."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "mlxtend": mlxtend.__version__,
        "statsmodels": statsmodels.__version__,
        "hopfix": hopfix.get_config(),
    }


def summary(runs: list[Run]) -> Run:
    """Return the tables and findings of all runs."""
    tables = [capacity(runs), accuracy(runs), convergence(runs), forecasts(runs), sweep(runs)]
    found = findings(runs)
    return {
        "tables": tables,
        "findings": found,
        "answers": list(answers(found)),
        "notes": list(NOTES),
    }


def chosen(runs: Iterable[Run], experiment: str, **wanted: Any) -> list[Run]:
    """Return the runs of an experiment with these properties; `arm` and `series` by name."""

    def value(run: Run, name: str) -> Any:
        return run[name]["name"] if name in ("arm", "series") else run[name]

    return [
        run for run in runs
        if run["experiment"] == experiment and all(value(run, k) == v for k, v in wanted.items())
    ]  # fmt: skip


def values(runs: Iterable[Run], name: str) -> list[Any]:
    """Return the different values of a property, in order."""
    return list(dict.fromkeys(run[name] for run in runs if name in run))


def spread(numbers: Iterable[float], digits: int = 1) -> str:
    """Return mean ± standard deviation."""
    array = np.array(list(numbers))
    deviation = array.std(ddof=1) if len(array) > 1 else 0.0
    return f"{array.mean():.{digits}f} ± {deviation:.{digits}f}"


def largest(run: Run) -> float:
    """Return the largest training accuracy of all epochs, in percent."""
    return 100 * float(max(run["train_accuracy"]))


def final_test(run: Run) -> float:
    """Return the test accuracy after the last epoch, in percent."""
    return 100 * float(run["test_accuracy"][-1])


def mean_loss(run: Run) -> float:
    """Return the training loss, mean over epochs."""
    return float(np.mean(run["train_loss"]))


def made(title: str, header: list[str], rows: list[list[str]]) -> Run:
    """Return a table of the document."""
    return {"title": title, "header": header, "rows": rows}


def capacity(runs: list[Run]) -> Run:
    """Return the largest training accuracy by sample size."""
    counts = values(chosen(runs, "digits"), "count")
    rows = []
    for separation in values(chosen(runs, "digits"), "separation"):
        for arm in ARMS:
            of_arm = chosen(runs, "digits", separation=separation, arm=arm.name)
            cells = [spread(map(largest, chosen(of_arm, "digits", count=n))) for n in counts]
            rows.append([separation, arm.name, *cells])
    header = ["separation", "kernel", *(f"{n:,} images" for n in counts)]
    return made("Largest training accuracy, % (Figure 4)", header, rows)


def accuracy(runs: list[Run]) -> Run:
    """Return test accuracy by sample size."""
    counts = values(chosen(runs, "digits"), "count")
    rows = []
    for separation in values(chosen(runs, "digits"), "separation"):
        for arm in ARMS:
            of_arm = chosen(runs, "digits", separation=separation, arm=arm.name)
            cells = [spread(map(final_test, chosen(of_arm, "digits", count=n))) for n in counts]
            rows.append([separation, arm.name, *cells])
    header = ["separation", "kernel", *(f"{n:,} images" for n in counts)]
    return made("Test accuracy after the last epoch, % (Table 1)", header, rows)


def convergence(runs: list[Run]) -> Run:
    """Return training accuracy after some epochs, for the largest sample."""
    most = max(values(chosen(runs, "digits"), "count"))
    epochs = len(chosen(runs, "digits")[0]["train_loss"])
    shown = sorted({min(e, epochs) for e in (2, 5, 10, 15, epochs)})
    rows = []
    for separation in values(chosen(runs, "digits"), "separation"):
        for arm in ARMS:
            of_arm = chosen(runs, "digits", separation=separation, arm=arm.name, count=most)
            cells = [spread(100 * r["train_accuracy"][e - 1] for r in of_arm) for e in shown]
            mean = spread(map(mean_loss, of_arm), 3)
            rows.append([separation, arm.name, *cells, mean])
    header = ["separation", "kernel", *(f"epoch {e}" for e in shown), "mean loss"]
    return made(f"Training accuracy, %, of {most:,} images (Figure 6)", header, rows)


def forecasts(runs: list[Run]) -> Run:
    """Return errors of forecasts, beside those without any association."""
    rows = []
    for series in SERIES:
        of_series = chosen(runs, "series", series=series.name)
        if not of_series:
            continue
        data = windows(series)
        name = f"{series.name}, {series.horizon} ahead"
        for baseline, guess in baselines(series).items():
            gap = guess - data.test_y
            cells = [f"{float(gap.square().mean()):.4f}", f"{float(gap.abs().mean()):.4f}"]
            rows.append([name, "", baseline, *cells])
        for separation in values(of_series, "separation"):
            for arm in (ABSENT, *SERIES_ARMS):
                of_arm = chosen(of_series, "series", separation=separation, arm=arm.name)
                if not of_arm:
                    continue
                errors = spread((r["test_mse"][-1] for r in of_arm), 4)
                absolute = spread((r["test_mae"] for r in of_arm), 4)
                shown = "" if arm is ABSENT else separation
                rows.append([name, shown, arm.name, errors, absolute])
    header = ["series", "separation", "kernel", "MSE", "MAE"]
    return made("Forecasts of standardised values (Table 8)", header, rows)


def sweep(runs: list[Run]) -> Run:
    """Return accuracies at other rates of the steps on the separation loss."""
    rows = []
    of_sweep = chosen(runs, "sweep")
    keys = dict.fromkeys((r["arm"]["name"], r["arm"]["rate"], r["arm"]["epochs"]) for r in of_sweep)
    for name, rate, epochs in keys:
        group = [
            r for r in chosen(of_sweep, "sweep", arm=name)
            if (r["arm"]["rate"], r["arm"]["epochs"]) == (rate, epochs)
        ]  # fmt: skip
        row = [name, f"{rate:g}", f"{epochs}"]
        rows.append([*row, spread(map(largest, group)), spread(map(final_test, group))])
    count = of_sweep[0]["count"]
    header = ["kernel", "rate", "epochs of Stage I", "largest training accuracy, %", "test, %"]
    return made(f"Rates of Stage I, softmax, {count:,} images", header, rows)


def findings(runs: list[Run]) -> list[Run]:
    """Return every comparison of the questions, in the direction in which U-Hop is better."""
    counts = values(chosen(runs, "digits"), "count")
    found = []
    capacity_, test, loss, error = QUESTIONS
    for count in counts:
        found += compared(chosen(runs, "digits", count=count), capacity_, f"{count:,}", largest)
    most = chosen(runs, "digits", count=max(counts))
    found += compared(most, test, f"{max(counts):,}", final_test)
    found += compared(most, loss, f"{max(counts):,}", lambda run: -mean_loss(run))
    for series in SERIES:
        of_series = chosen(runs, "series", series=series.name)
        found += compared(of_series, error, series.name, lambda run: -run["test_mse"][-1])
    return found


def answers(found: list[Run]) -> Iterator[str]:
    """Yield, for every question, what the publication says and what is found here."""
    uhop = [f for f in found if f["arm"] not in (NONE.name, KERNEL.name, INPUT.name)]
    for question, claim in QUESTIONS.items():
        verdicts = [f["verdict"] for f in uhop if f["question"] == question]
        counts = ", ".join(
            f"{verdicts.count(name)} {name}" for name in ("better", "worse", "no difference")
        )
        yield (
            f"{question}: published: {claim}; here, of {len(verdicts)} comparisons of U-Hop with "
            f"its controls: {counts}."
        )


def compared(runs: list[Run], question: str, case: str, measure: Measure) -> list[Run]:
    """Return the paired differences of arms over separations and seeds."""
    results = {(r["arm"]["name"], r["separation"], r["seed"]): measure(r) for r in runs}
    found = []
    for arm, control in PAIRS:
        gaps = np.array([
            value - results[(control.name, *rest)]
            for (name, *rest), value in results.items()
            if name == arm.name and (control.name, *rest) in results
        ])  # fmt: skip
        if len(gaps) > 1:
            found.append({
                "question": question, "case": case, "arm": arm.name, "against": control.name,
                "gain": float(gaps.mean()), "deviation": float(gaps.std(ddof=1)),
                "pairs": len(gaps), "verdict": verdict(gaps),
            })  # fmt: skip
    return found


def verdict(gains: np.ndarray) -> str:
    """Return "better", "worse" or "no difference", by two standard errors."""
    limit = 2 * gains.std(ddof=1) / len(gains) ** 0.5
    if abs(gains.mean()) <= limit:
        return "no difference"
    return "better" if gains.mean() > 0 else "worse"


def markdown(document: Run) -> str:
    """Return tables, findings and notes for people."""
    parts = []
    for each in document["tables"]:
        parts += [f"**{each['title']}**", table(each["header"], each["rows"])]
    rows = [
        [f["question"], f["case"], f["arm"], f["against"],
         f"{f['gain']:+.3g} ± {f['deviation']:.2g}", f["verdict"]]
        for f in document["findings"]
    ]  # fmt: skip
    header = ["question", "case", "with", "against", "gain", "the former is"]
    return "\n\n".join([*parts, table(header, rows), *document["answers"], *document["notes"]])


def draw(runs: list[Run]) -> Figure:
    """Return a row of panels for each separation, and one for the forecasts."""
    separations = values(chosen(runs, "digits"), "separation")
    figure = Figure(figsize=(14, 3.8 * (len(separations) + 1)), layout="constrained")
    grid = figure.subplots(len(separations) + 1, 3, squeeze=False)
    for row, separation in zip(grid, separations, strict=False):
        of_separation = chosen(runs, "digits", separation=separation)
        _by_count(row[0], of_separation, largest)
        row[0].set_title(f"{separation}: largest training accuracy, %")
        _by_count(row[1], of_separation, final_test)
        row[1].set_title(f"{separation}: test accuracy, %")
        _curves(row[2], of_separation)
        row[2].set_title(f"{separation}: training loss (band: all seeds)")
    for axes, series in zip(grid[-1], SERIES, strict=True):
        _errors(axes, chosen(runs, "series", series=series.name), series.name)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return figure


def _by_count(axes: Axes, runs: list[Run], measure: Measure) -> None:
    counts = values(runs, "count")
    for shift, arm in enumerate(ARMS):
        groups = [list(map(measure, chosen(runs, "digits", arm=arm.name, count=n))) for n in counts]
        axes.errorbar(
            [n * 1.03 ** (shift - 2.5) for n in counts],
            [np.mean(group) for group in groups],
            [np.std(group, ddof=1) if len(group) > 1 else 0 for group in groups],
            label=arm.name, color=_COLOURS[arm.name], marker="o", markersize=4, capsize=2,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{n:,}" for n in counts])
    axes.minorticks_off()
    axes.set_xlabel("images to train on")
    axes.grid(alpha=0.3)


def _curves(axes: Axes, runs: list[Run]) -> None:
    most = max(values(runs, "count"))
    for arm in ARMS:
        losses = np.array(
            [r["train_loss"] for r in chosen(runs, "digits", arm=arm.name, count=most)]
        )
        epochs = np.arange(1, losses.shape[1] + 1)
        axes.plot(epochs, losses.mean(axis=0), color=_COLOURS[arm.name])
        axes.fill_between(
            epochs, losses.min(axis=0), losses.max(axis=0), color=_COLOURS[arm.name], alpha=0.15,
            linewidth=0,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel(f"epoch, {most:,} images")
    axes.grid(alpha=0.3, which="both")


def _errors(axes: Axes, runs: list[Run], name: str) -> None:
    """Draw every run's forecast error by arm, dense beside sparse."""
    if not runs:
        axes.axis("off")
        return
    arms = (ABSENT, *SERIES_ARMS)
    separations = values(runs, "separation")
    for place, arm in enumerate(arms):
        for offset, (separation, marker) in enumerate(zip(separations, "os", strict=False)):
            errors = [
                r["test_mse"][-1]
                for r in chosen(runs, "series", arm=arm.name, separation=separation)
            ]
            axes.plot(
                [place + 0.2 * offset] * len(errors), errors, marker, color=_COLOURS[arm.name],
                markersize=5, fillstyle="none" if offset else "full",
            )  # fmt: skip
    names = [arm.name.replace(", ", ",\n").replace("no ", "no\n") for arm in arms]
    axes.set_xticks(range(len(arms)), names, fontsize=8)
    axes.set_title(f"{name}: forecast error (MSE)\nfilled: dense; open: sparse")
    axes.grid(alpha=0.3, axis="y")
