"""What belongs to the embedder in use: the weight of its scores and the threshold for abstaining."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """Weights and thresholds that were fitted for one embedding model.

    ``dense_weight`` multiplies the dense part of a page's score. A question is answerable when
    ``coverage + cosine_weight * cosine`` reaches ``threshold``: coverage is the share of the question's
    IDF that the best passage holds, cosine that of the nearest passage's vector.
    """

    name: str
    dense_weight: float
    cosine_weight: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the docs can answer, how sure that is, and why."""

    answerable: bool
    confidence: float
    reasons: tuple[str, ...]


# Fitted on three sites. Their own questions against other sites' (redux, mikroorm, the handbook): AUROC
# .986 .981 .976; at the threshold .986 .980 .842 are answered and .761 .809 .963 declined. Unanswerable
# questions about the handbook's own matter: AUROC .907, .773 declined. Without vectors .919 .953 .931 and
# .856. A paraphrase shares few words with the docs, and quotes with links do less harm than silence: hence
# a threshold that rather answers.
MINILM = Profile("minilm", dense_weight=0.4, cosine_weight=2.0, threshold=1.25)
LEXICAL = Profile("lexical", dense_weight=0.0, cosine_weight=0.0, threshold=0.4)
# Cosines mean something else in each model: one that was not measured helps to rank, not to abstain.
UNMEASURED = Profile("unmeasured", dense_weight=0.4, cosine_weight=0.0, threshold=0.4)


def profile_for(model: str | None) -> Profile:
    """The profile of an embedding model's name (None: no vectors)."""
    if not model:
        return LEXICAL
    return MINILM if model.startswith("all-MiniLM-L6-v2") else UNMEASURED


def decide(coverage: float, cosine: float | None, profile: Profile) -> Decision:
    """Whether a question can be answered from what was found. ``cosine`` is None without vectors."""
    measured = LEXICAL if cosine is None else profile
    confidence = coverage + measured.cosine_weight * (cosine or 0.0)
    answerable = confidence >= measured.threshold
    nearest = "no vectors were asked" if cosine is None else f"the nearest passage has cosine {cosine:.2f}"
    sign = "at least" if answerable else "below"
    return Decision(
        answerable,
        confidence,
        (
            f"the best passage holds {coverage:.0%} of what the question's words weigh",
            nearest,
            f"together {confidence:.2f}, {sign} the threshold {measured.threshold:.2f} ({measured.name})",
        ),
    )
