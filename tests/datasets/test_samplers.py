import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import ConcatDataset, DefaultSampler, RepeatDataset, pseudo_collate
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Subset

PIPELINE = [dict(type='LoadReferringImage'), dict(type='LoadReferringMask'), dict(type='SampleExpression'),
            dict(type='RandomReferringFlip', prob=0.5), dict(type='PackReferringInputs')]


@pytest.fixture
def config(write_refer):
    root = write_refer([write_refer.ref(n % 3, f'{n} a', f'{n} b', f'{n} c') for n in range(10)])
    return dict(type='RefCOCODataset', data_root=str(root), pipeline=PIPELINE)


def sampler_of(dataset, **changes):
    return DATA_SAMPLERS.build(dict(type='EpochAwareSampler', dataset=dataset, seed=7, **changes))


def state(dataset):
    return dataset._epoch_and_seed.tolist()


def test_dataset_is_told_at_construction_and_every_epoch(config):
    dataset = DATASETS.build(config)
    sampler = sampler_of(dataset)
    assert state(dataset) == [0, 7]
    sampler.set_epoch(4)
    assert state(dataset) == [4, 7] and sampler.epoch == 4


@pytest.mark.parametrize('shuffle', [True, False])
def test_order_is_that_of_the_default_sampler(config, shuffle):
    dataset = DATASETS.build(config)
    ours, theirs = sampler_of(dataset, shuffle=shuffle), DefaultSampler(dataset, shuffle=shuffle, seed=7)
    for epoch in range(3):
        ours.set_epoch(epoch)
        theirs.set_epoch(epoch)
        assert list(ours) == list(theirs) and len(ours) == len(theirs)


def test_wrappers_are_walked_through(config):
    parts = [DATASETS.build(config) for _ in range(3)]
    both = torch.utils.data.ConcatDataset([RepeatDataset(parts[0], times=2), ConcatDataset(parts[1:])])
    sampler = sampler_of(Subset(both, [0, 25]))
    sampler.set_epoch(3)
    assert [state(part) for part in parts] == [[3, 7]] * 3


def test_a_dataset_without_set_epoch_is_named():
    with pytest.raises(TypeError, match='set_epoch.*TensorDataset.*DefaultSampler'):
        sampler_of(torch.utils.data.TensorDataset(torch.zeros(3)))


class _Model(BaseModel):

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=self.weight.sum())


class _Record(Hook):

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen += [(s.ref_id, s.sent_id, s.flip) for s in data_batch['data_samples']]


def train(config, work_dir, train_cfg, resume=False, workers=0):
    """Train with mmengine's own runner and return what the model was given, in order."""
    hook = _Record()
    interval = dict(interval=1, by_epoch=train_cfg.get('by_epoch', True))
    runner = Runner(
        _Model(), str(work_dir), resume=resume, train_cfg=train_cfg, default_scope='mmseg', custom_hooks=[hook],
        train_dataloader=dict(batch_size=2, num_workers=workers, persistent_workers=workers > 0,
                              dataset=Config(config)._cfg_dict, collate_fn=dict(type='pseudo_collate'),
                              sampler=dict(type='EpochAwareSampler')),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), randomness=dict(seed=11), log_level='ERROR',
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', **interval)), experiment_name=work_dir.name)
    runner.train()
    return hook.seen


def test_resumed_epochs_equal_the_uninterrupted_ones(config, tmp_path):
    whole = train(config, tmp_path / 'whole', dict(by_epoch=True, max_epochs=4))
    epochs = [whole[n:n + 10] for n in range(0, 40, 10)]
    assert all(sorted(r for r, *_ in epoch) == list(range(100, 110)) for epoch in epochs)
    assert len({tuple(sorted(epoch)) for epoch in epochs}) == 4  # other draws, not only another order
    train(config, tmp_path / 'cut', dict(by_epoch=True, max_epochs=2))
    assert train(config, tmp_path / 'cut', dict(by_epoch=True, max_epochs=4), resume=True) == whole[20:]


@pytest.mark.slow
def test_resumed_iterations_equal_the_uninterrupted_ones(config, tmp_path):
    whole = train(config, tmp_path / 'whole', dict(by_epoch=False, max_iters=12))
    assert len({tuple(sorted(whole[n:n + 10])) for n in (0, 10)}) == 2
    train(config, tmp_path / 'cut', dict(by_epoch=False, max_iters=7))
    rest = train(config, tmp_path / 'cut', dict(by_epoch=False, max_iters=12), resume=True)
    assert rest == whole[14:]


def test_collate_of_packed_records(config):
    dataset = DATASETS.build(config)
    batch = pseudo_collate([dataset[0], dataset[1]])
    assert len(batch['inputs']) == len(batch['data_samples']) == 2
