"""How long runs take on a GPU that is not here: a stated estimate, by what the benchmark says of networks."""

from collections.abc import Iterable, Mapping

from msda_train.launch.estimate import Estimate
from msda_train.launch.plan import Configuration
from msda_train.records.bench import OnGpu, on_gpu

SETS = ("cifar10", "cifar100", "svhn")  # of images as large as those that the benchmark counts in
START_SECONDS = 10.0  # of a trainer: torch and CUDA, by no measurement
WORDS = "an estimate, not a measurement: no CUDA device is here"


def stated_estimates(
    configurations: Iterable[Configuration],
    here: Mapping[str, Estimate],
    rates: Mapping[str, OnGpu] | None = None,
) -> dict[str, Estimate]:
    """By fingerprint; None where the benchmark says nothing of the network.

    here: what is known of the same runs on this machine, for their images; rates: see `on_gpu`.
    """
    rates = on_gpu() if rates is None else rates
    return {each.fingerprint: _stated(each, here[each.fingerprint], rates) for each in configurations}


def _stated(each: Configuration, here: Estimate, rates: Mapping[str, OnGpu]) -> Estimate:
    network, rate = each.choice("model"), rates.get(each.choice("model"))
    facts = {"device": "cuda", "device_name": "a GPU that is not here", "start_seconds": START_SECONDS}
    if "train_images" not in here.facts:
        return Estimate(None, here.source, {})
    if rate is None or each.config["dataset"].get("name") not in SETS:
        return Estimate(None, f"the benchmark has no model={network} on such images on a GPU", facts)
    work = rate.seconds * each.step_cost * here.facts["train_images"] * each.epochs
    return Estimate(work + START_SECONDS, f"by {rate.source}", facts)
