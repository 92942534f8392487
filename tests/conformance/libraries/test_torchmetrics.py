"""torchmetrics: metrics of every family, updated twice, with their value for the batch and over both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torchmetrics
from torchmetrics import audio, clustering, image, nominal, regression, retrieval, segmentation, text

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, CLASSES = 40, 4


def binary() -> tuple[torch.Tensor, ...]:
    return torch.rand(ROWS), torch.randint(0, 2, (ROWS,))


def multiclass() -> tuple[torch.Tensor, ...]:
    return torch.randn(ROWS, CLASSES).softmax(-1), torch.randint(0, CLASSES, (ROWS,))


def multilabel() -> tuple[torch.Tensor, ...]:
    return torch.rand(ROWS, CLASSES), torch.randint(0, 2, (ROWS, CLASSES))


def numbers() -> tuple[torch.Tensor, ...]:
    return torch.rand(ROWS), torch.rand(ROWS)


def vectors() -> tuple[torch.Tensor, ...]:
    return multiclass()[0], multiclass()[0]


def one() -> tuple[torch.Tensor, ...]:
    return (torch.rand(ROWS),)


def images() -> tuple[torch.Tensor, ...]:
    return torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)


def labels() -> tuple[torch.Tensor, ...]:
    return torch.randint(0, CLASSES, (ROWS,)), torch.randint(0, CLASSES, (ROWS,))


def queries() -> tuple[torch.Tensor, ...]:
    return *binary(), torch.randint(0, 5, (ROWS,)).sort().values


def masks() -> tuple[torch.Tensor, ...]:
    return torch.randint(0, 2, (2, CLASSES, 8, 8)), torch.randint(0, 2, (2, CLASSES, 8, 8))


def sounds() -> tuple[torch.Tensor, ...]:
    return torch.randn(2, 800), torch.randn(2, 800)


TASKS: dict[str, tuple[dict[str, int], Callable[[], tuple[torch.Tensor, ...]]]] = {
    "binary": ({}, binary),
    "multiclass": ({"num_classes": CLASSES}, multiclass),
    "multilabel": ({"num_labels": CLASSES}, multilabel),
}
CLASSIFICATION = (
    "AUROC", "Accuracy", "AveragePrecision", "CalibrationError", "CohenKappa", "ConfusionMatrix", "ExactMatch",
    "F1Score", "HammingDistance", "HingeLoss", "JaccardIndex", "MatthewsCorrCoef", "Precision",
    "PrecisionRecallCurve", "ROC", "Recall", "Specificity", "StatScores",
)  # fmt: skip
# What a task has no metric for.
WITHOUT = {
    "CalibrationError": {"multilabel"},
    "CohenKappa": {"multilabel"},
    "ExactMatch": {"binary"},
    "HingeLoss": {"multilabel"},
}

OTHERS: list[tuple[Any, str, dict[str, Any], Callable[[], tuple[torch.Tensor, ...]]]] = [
    *((regression, name, {}, numbers) for name in (
        "ConcordanceCorrCoef", "ExplainedVariance", "KendallRankCorrCoef", "LogCoshError", "MeanAbsoluteError",
        "MeanSquaredError", "MeanSquaredLogError", "PearsonCorrCoef", "R2Score", "RelativeSquaredError",
        "SpearmanCorrCoef", "SymmetricMeanAbsolutePercentageError", "TweedieDevianceScore",
    )),
    (regression, "MinkowskiDistance", {"p": 3}, numbers),
    (regression, "CosineSimilarity", {}, vectors),
    (regression, "KLDivergence", {}, vectors),
    *((retrieval, name, {}, queries) for name in (
        "RetrievalFallOut", "RetrievalHitRate", "RetrievalMAP", "RetrievalMRR", "RetrievalNormalizedDCG",
        "RetrievalPrecision", "RetrievalRPrecision", "RetrievalRecall",
    )),
    *((image, name, {}, images) for name in (
        "ErrorRelativeGlobalDimensionlessSynthesis", "SpectralAngleMapper", "SpectralDistortionIndex",
        "StructuralSimilarityIndexMeasure", "UniversalImageQualityIndex",
    )),
    (image, "PeakSignalNoiseRatio", {"data_range": 1.0}, images),
    (image, "TotalVariation", {}, lambda: images()[:1]),
    *((torchmetrics, name, {}, one) for name in ("CatMetric", "MaxMetric", "MeanMetric", "MinMetric", "SumMetric")),
    *((clustering, name, {}, labels) for name in (
        "AdjustedRandScore", "MutualInfoScore", "RandScore", "VMeasureScore",
    )),
    *((nominal, name, {"num_classes": CLASSES}, labels) for name in ("CramersV", "TheilsU")),
    *((audio, name, {}, sounds) for name in (
        "ScaleInvariantSignalDistortionRatio", "SignalDistortionRatio", "SignalNoiseRatio",
    )),
    (segmentation, "MeanIoU", {"num_classes": CLASSES}, masks),
    (text, "Perplexity", {}, lambda: (torch.randn(2, 8, CLASSES), torch.randint(0, CLASSES, (2, 8)))),
]  # fmt: skip


def used(metric: torchmetrics.Metric, batches: list[tuple[torch.Tensor, ...]], device: torch.device) -> Any:
    metric = metric.to(device)
    of_batches = [metric(*(tensor.to(device) for tensor in batch)) for batch in batches]
    return of_batches, metric.compute()


@pytest.mark.parametrize("thresholds", [None, 10])
@pytest.mark.parametrize(
    ("name", "task"),
    [(name, task) for name in CLASSIFICATION for task in TASKS if task not in WITHOUT.get(name, ())],
)
def test_classification(name: str, task: str, thresholds: int | None, same: Callable[..., None]) -> None:
    options, batch = TASKS[task]
    if thresholds is not None:
        if name not in {"AUROC", "AveragePrecision", "PrecisionRecallCurve", "ROC"}:
            return
        options = {**options, "thresholds": thresholds}

    def run(device: torch.device) -> Any:
        return used(getattr(torchmetrics, name)(task=task, **options), [batch(), batch()], device)

    same(run)


@pytest.mark.parametrize(
    ("module", "name", "options", "batch"), OTHERS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_metric(module: Any, name: str, options: dict[str, Any], batch: Any, same: Callable[..., None]) -> None:
    same(lambda device: used(getattr(module, name)(**options), [batch(), batch()], device))


def test_a_collection_is_cloned_reset_and_shares_its_states(same: Callable[..., None]) -> None:
    def run(device: torch.device) -> Any:
        metrics = torchmetrics.MetricCollection(
            [
                torchmetrics.Accuracy("multiclass", num_classes=CLASSES),
                torchmetrics.F1Score("multiclass", num_classes=CLASSES),
            ]
        ).to(device)
        first = used(metrics.clone(prefix="train_"), [multiclass(), multiclass()], device)
        metrics.update(*(tensor.to(device) for tensor in multiclass()))
        metrics.reset()
        metrics.update(*(tensor.to(device) for tensor in multiclass()))
        return first, metrics.compute(), metrics.state_dict()

    same(run)
