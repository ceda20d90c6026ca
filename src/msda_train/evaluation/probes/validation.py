"""Error and NLL on the validation split, of data sets that have one of their own (Speech Commands).

mixup's Figure 4 (arXiv:1710.09412) prints the errors on validation and on test set side by side.
"""

from dataclasses import dataclass

from msda_train.core.errors import UserError
from msda_train.evaluation.probes.inference import run_logits
from msda_train.evaluation.probes.subject import BATCH, Finding, Subject
from msda_train.functional import metrics


@dataclass(frozen=True)
class Validation:
    """No options."""

    def __call__(self, subject: Subject) -> Finding:
        """error, a fraction, and nll, in nats, as each epoch measures them on the test set."""
        n = subject.images.n_validation
        if not n:
            raise UserError(f"needs a validation split, and {subject.images.name} has none")
        batches = subject.progress(subject.batches("validation"), -(-n // BATCH), "validation")
        logits, y = run_logits(subject, (x for x, _ in batches)), subject.labels("validation")
        numbers = {
            "error": metrics.error_count(logits, y).item() / n,
            "nll": metrics.nll_sum(logits, y).item() / n,
        }
        return Finding(numbers, records=[{"name": name, "measure": name} for name in numbers])
