"""The YAML block that opens a model card, by huggingface_hub's own classes, so that the Hub reads what we mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CardScore:
    """One number of a card's model-index."""

    metric: str
    """The Hub's name of the metric: "f1", "precision", "recall"."""
    name: str
    value: float


def metadata_block(
    name: str,
    *,
    library: str,
    base_model: str,
    tags: Sequence[str],
    dataset: str,
    evaluated_on: str,
    scores: Sequence[CardScore],
) -> str:
    """Return the block with its `---` lines: library, base model, tags, data set, and the scores as its model-index.

    `evaluated_on` says in words which part of the data set the scores are of. Without scores there is no model-index.
    """
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="phase-picking",
            task_name="Seismic phase picking",
            dataset_type=dataset,
            dataset_name=evaluated_on,
            metric_type=score.metric,
            metric_name=score.name,
            metric_value=round(score.value, 4),
        )
        for score in scores
    ]
    facts = ModelCardData(
        library_name=library,
        base_model=base_model,
        base_model_relation="adapter",
        tags=list(tags),
        datasets=[dataset],
        model_name=name if results else None,
        eval_results=results or None,
    )
    return f"---\n{facts.to_yaml()}\n---\n\n"
