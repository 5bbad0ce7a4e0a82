"""Records and tensors that the tests of the losses share."""
from __future__ import annotations

import pytest
import torch

from mmseg_ris_kd.structures import RISFeatures, TextFeatures

SIZES = ((8, 8), (4, 4), (2, 2), (2, 1))


@pytest.fixture(scope='session')
def golden_pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Student's and teacher's feature (2, 3, 4, 4) for which published code gave the golden values."""
    steps = torch.arange(96, dtype=torch.float64)
    return steps.sin().reshape(2, 3, 4, 4), (0.7 * steps).cos().reshape(2, 3, 4, 4)


def make_record(*, seed: int, channels=(3, 4, 5, 6), heads=1, lengths=(5, 3), length=6, classes=2,
                sizes=SIZES, dtype=torch.float64, requires_grad=False) -> RISFeatures:
    """A record of two expressions as a model would hand it out; two tokens of each are special."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_(requires_grad)

    images = len(lengths)
    mask = torch.arange(length)[None] < torch.tensor(lengths)[:, None]
    word_ids = torch.full((images, length), -1)
    for i, count in enumerate(lengths):
        word_ids[i, 1:count - 1] = torch.arange(count - 2)
    attention = []
    for height, width in sizes:
        scores = random(images, heads, height * width, length)
        attention.append(scores.masked_fill(~mask[:, None, None], -1e4).softmax(-1))
    features = {name: tuple(random(images, c, *size) for c, size in zip(channels, sizes))
                for name in ('visual', 'fused', 'decoded')}
    return RISFeatures(
        **features,
        text=TextFeatures(random(images, length, 7), mask, word_ids, random(images, 7)),
        attention=tuple(attention),
        logits=random(images, classes, *sizes[0]),
        target=(torch.rand(images, 16, 16, generator=generator) > 0.6).long())


def channels_of(record: RISFeatures) -> dict[str, tuple[int, ...]]:
    names = ('visual', 'fused', 'decoded')
    return dict({name: tuple(x.shape[1] for x in getattr(record, name)) for name in names},
                logits=(record.logits.shape[1],))


@pytest.fixture(scope='session')
def make():
    """``make(seed=...)`` makes a record; ``make.channels(record)`` says its channels."""
    make_record.channels = channels_of
    return make_record
