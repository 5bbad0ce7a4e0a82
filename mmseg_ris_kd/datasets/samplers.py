"""The sampler that tells the dataset which epoch it is."""
from __future__ import annotations

from collections.abc import Iterator

from mmengine.dataset import DefaultSampler
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Dataset


@DATA_SAMPLERS.register_module()
class EpochAwareSampler(DefaultSampler):
    """mmengine's ``DefaultSampler`` that also hands seed and epoch to the dataset.

    The order of the records and what their pipelines draw then are both functions of (seed, epoch): runs with any
    number of worker processes, and interrupted runs, see the same samples. mmengine calls ``set_epoch`` before every
    epoch: in epoch-based training by ``DistSamplerSeedHook``, one of the default hooks (also in one process), with the
    true number after a resume; in iteration-based training by the iterator that restarts the dataloader, which a
    resumed run first advances over the batches of the past.

    Args:
        dataset: A dataset with ``set_epoch(epoch, seed)``, such as :class:`RISDataset`, or a wrapper around some
            (``ConcatDataset``, ``RepeatDataset``, ``torch.utils.data.Subset``). A wrapper that repeats a record within
            an epoch repeats its draws too: a longer epoch needs ``expression_mode='all'``.
        shuffle: Whether the order is random.
        seed: Seed of order and draws, the same in all processes. The runner passes its own: set ``randomness.seed`` in
            the config, because mmengine builds the sampler before it reads the seed of a checkpoint to resume.
        round_up: Whether records are repeated until all processes have equally many.

    Raises:
        TypeError: No ``set_epoch`` is found in ``dataset``.
    """

    def __init__(self,
                 dataset: Dataset,
                 shuffle: bool = True,
                 *,
                 seed: int | None = None,
                 round_up: bool = True) -> None:
        super().__init__(dataset, shuffle=shuffle, seed=seed, round_up=round_up)
        for part in epoch_datasets(dataset):
            if not hasattr(part, 'set_epoch'):
                raise TypeError('EpochAwareSampler needs datasets with a method set_epoch(epoch, seed), such as '
                                f'RISDataset, but got {type(part).__name__}: use type=\'DefaultSampler\' for it')
        self.set_epoch(0)  # iteration-based loops call set_epoch only from the second round on

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch, here and in the dataset."""
        super().set_epoch(epoch)
        for part in epoch_datasets(self.dataset):
            part.set_epoch(epoch, self.seed)


def epoch_datasets(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the datasets inside wrappers: what has ``set_epoch`` itself, or wraps nothing."""
    if not hasattr(dataset, 'set_epoch'):
        inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
        if inner != [None]:
            for part in inner:
                yield from epoch_datasets(part)
            return
    yield dataset
