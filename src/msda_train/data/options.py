"""The options of a data set, checked before anything is read. Apart from `Dataset` for their number alone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msda_train.config import checks
from msda_train.core.errors import UserError, nearest
from msda_train.data.images import Images
from msda_train.data.resize import check_size

if TYPE_CHECKING:
    from msda_train.data.dataset import Dataset

AUTO = "auto"  # dataset.mean=auto: measured from the training images


def check_options(dataset: "Dataset") -> None:
    """UserError that names the first option that cannot be."""
    name, source = dataset.name, dataset.source
    if source not in dataset.sources:
        raise UserError(f"dataset.source={source}: unknown for {name}; {nearest(source, dataset.sources)}")
    if source == "embedded" and dataset.root is not None:
        raise UserError(f"dataset.root={dataset.root}: {name} comes along, nothing is read; leave it out")
    if not name or any(letter in name for letter in "/\\\n"):
        raise UserError(f"dataset.name={name}: give a plain word, no path")
    checks.fraction("dataset.label_noise", dataset.label_noise)
    checks.whole("dataset.label_noise_seed", dataset.label_noise_seed, least=0)
    checks.flag("dataset.empty_classes", dataset.empty_classes)
    for key, least in (("subset", 1), ("test_subset", 1), ("subset_seed", 0), ("cap_per_class", 1)):
        value = getattr(dataset, key)
        if value is None and key != "subset_seed":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"dataset.{key}={value}: give a whole number, {least} or more")
    _check_pictures(dataset)


def _check_pictures(dataset: "Dataset") -> None:
    """What only a set of pictures has."""
    pictures = issubclass(dataset.kind, Images)
    if dataset.size is not None:
        if not pictures:
            raise UserError(f"dataset.size={checks.shown(dataset.size)}: is for pictures; leave it out")
        check_size(dataset.size)
    for key in ("mean", "std"):
        value = getattr(dataset, key)
        if isinstance(value, str) and (value != AUTO or not pictures):
            hint = f"{AUTO}, or a number for each channel" if pictures else f"dataset.{key}=[]"
            raise UserError(f"dataset.{key}={checks.shown(value)}: unknown; type {hint}")
    if pictures and dataset.test_share is not None:
        check_share(dataset.test_share)
        if dataset.source != "imagefolder":
            raise UserError(
                f"dataset.test_share={dataset.test_share}: source={dataset.source} has its own test images; "
                f"leave it out"
            )
        checks.whole("dataset.split_seed", dataset.split_seed, least=0)


def check_share(share: Any) -> None:
    """UserError where it leaves nothing to train or nothing to test on."""
    checks.fraction("dataset.test_share", share)
    if not 0 < share < 1:
        raise UserError(f"dataset.test_share={share}: above 0, below 1; type 0.5 for half")


def places(dataset: "Dataset") -> Iterator[tuple[str, str]]:
    """The options, as they are typed, that say which pictures are read and what is made of them."""
    made = ("size", "test_share", "split_seed") if issubclass(dataset.kind, Images) else ()
    for key in ("root", "cache", *made):
        value = getattr(dataset, key)
        if value != type(dataset).__dataclass_fields__[key].default:
            text = f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
            yield key, text
