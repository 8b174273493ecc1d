"""Table 1 of arXiv 2512.13197: precision, recall, F1 and accuracy of P and S within 0.5 s."""

from __future__ import annotations

PUBLISHED: dict[tuple[int, str], tuple[tuple[float, ...], tuple[float, ...]]] = {
    (1, "frozen"): ((0.68, 0.88, 0.77, 0.77), (0.76, 0.92, 0.83, 0.84)),
    (1, "cr-lora"): ((0.89, 0.97, 0.93, 0.93), (0.88, 0.97, 0.92, 0.93)),
    (1, "rival:stalta"): ((0.63, 0.78, 0.69, 0.72), (0.34, 0.43, 0.38, 0.49)),
    (1, "rival:phasenet"): ((0.89, 0.28, 0.43, 0.66), (0.88, 0.30, 0.45, 0.67)),
    (1, "EQTransformer"): ((0.74, 0.51, 0.61, 0.70), (0.75, 0.54, 0.63, 0.72)),
    (2, "frozen"): ((0.50, 0.79, 0.61, 0.65), (0.61, 0.83, 0.70, 0.74)),
    (2, "cr-lora"): ((0.90, 0.97, 0.93, 0.95), (0.91, 0.96, 0.94, 0.95)),
    (2, "rival:stalta"): ((0.56, 0.83, 0.67, 0.71), (0.30, 0.41, 0.35, 0.49)),
    (2, "rival:phasenet"): ((0.93, 0.83, 0.88, 0.92), (0.96, 0.85, 0.90, 0.93)),
    (2, "EQTransformer"): ((0.76, 0.74, 0.75, 0.82), (0.79, 0.75, 0.77, 0.82)),
    (3, "frozen"): ((0.11, 0.46, 0.18, 0.47), (0.16, 0.49, 0.24, 0.53)),
    (3, "cr-lora"): ((0.42, 0.77, 0.54, 0.83), (0.51, 0.76, 0.61, 0.84)),
    (3, "rival:stalta"): ((0.24, 0.72, 0.36, 0.66), (0.12, 0.31, 0.17, 0.56)),
    (3, "rival:phasenet"): ((0.51, 0.59, 0.55, 0.87), (0.51, 0.51, 0.51, 0.84)),
    (3, "EQTransformer"): ((0.13, 0.63, 0.22, 0.39), (0.15, 0.61, 0.25, 0.40)),
}
"""(test, recipe) -> (P, S). "cr-lora" is the paper's fine-tuned network; EQTransformer is not run here."""
VALIDATION_F1 = {
    "cr-lora": "0.889 ± 0.013",
    "full": "about 0.90",
    "scratch": "below 0.20",
    "rival:phasenet-finetuned": "0.832 ± 0.022",
    "EQTransformer, fine-tuned": "0.629 ± 0.084",
}
"""Figure 4: recipe -> validation F1 over five runs."""
