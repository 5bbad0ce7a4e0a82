"""Optimizer constructor that leaves frozen parameters out and takes no key that matches nothing."""
from __future__ import annotations

import logging

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

MULTIPLIERS = ('lr_mult', 'decay_mult')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class RISOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Build an optimizer over the trainable parameters only, grouped by learning rate and weight decay.

    MMEngine hands frozen parameters to the optimizer unless ``paramwise_cfg`` is set, and makes one group per
    parameter when it is. Here parameters with ``requires_grad=False`` are always left out, those of equal settings
    share a group, and one log line per group says what it holds.

    ``paramwise_cfg`` takes ``custom_keys``: a parameter whose name contains a key gets that key's ``lr_mult`` and
    ``decay_mult``; of several matching keys the longest counts. For LAVT, where normalization weights and position
    biases of the visual encoder do not decay, and those of BERT and of the decoder's batch norms do::

        optim_wrapper = dict(
            constructor='RISOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=5e-5, weight_decay=1e-2),
            paramwise_cfg=dict(custom_keys={
                'backbone.patch_embed.norm': dict(decay_mult=0.),
                '.norm1': dict(decay_mult=0.),
                '.norm2': dict(decay_mult=0.),
                '.downsample.norm': dict(decay_mult=0.),
                'relative_position_bias_table': dict(decay_mult=0.),
                'decode_head.norms': dict(decay_mult=0.),
            }))

    Args:
        optim_wrapper_cfg: Config of the optimizer wrapper with the key ``optimizer``, as for MMEngine's constructor.
        paramwise_cfg: None, or a dict with the key ``custom_keys``.

    Raises:
        ValueError: ``paramwise_cfg`` holds another key, a custom key has another setting than ``lr_mult`` and
            ``decay_mult``, or it scales a value that the optimizer config does not give. While building: a custom key
            matches no parameter, or nothing is trainable.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        unknown = sorted(set(self.paramwise_cfg) - {'custom_keys'})
        if unknown:
            raise ValueError(f'RISOptimWrapperConstructor knows paramwise_cfg.custom_keys only, but got {unknown}; '
                             'write the rule as custom_keys, or use constructor="DefaultOptimWrapperConstructor"')
        for key, settings in self.paramwise_cfg.get('custom_keys', {}).items():
            unknown = sorted(set(settings) - set(MULTIPLIERS))
            if unknown:
                raise ValueError(f'paramwise_cfg.custom_keys[{key!r}] has unknown settings {unknown}; '
                                 f'valid ones are {list(MULTIPLIERS)}')
            if 'lr_mult' in settings and self.base_lr is None:
                raise ValueError(f'paramwise_cfg.custom_keys[{key!r}] sets lr_mult, but optim_wrapper.optimizer has '
                                 'no lr to multiply; add it')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model, which may be wrapped for distributed training."""
        # MMEngine asks add_params only when paramwise_cfg holds something; this setting changes nothing else
        self.paramwise_cfg = {'custom_keys': {}, **self.paramwise_cfg}
        return super().__call__(model)

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', is_dcn_module=None) -> None:
        """Add the groups of ``module`` to ``params``; ``prefix`` and ``is_dcn_module`` are MMEngine's and unused."""
        custom_keys = self.paramwise_cfg['custom_keys']
        longest_first = sorted(sorted(custom_keys), key=len, reverse=True)
        groups: dict[tuple, dict] = {}
        frozen, unmatched = [], set(custom_keys)
        for name, parameter in module.named_parameters():  # a parameter shared by two modules comes once
            matching = [key for key in longest_first if key in name]
            unmatched.difference_update(matching)
            if not parameter.requires_grad:
                frozen.append(parameter)
                continue
            settings = custom_keys[matching[0]] if matching else {}
            multipliers = tuple(float(settings.get(key, 1.)) for key in MULTIPLIERS)
            if multipliers not in groups:
                groups[multipliers] = dict(params=[], **self._scaled(*multipliers))
            groups[multipliers]['params'].append(parameter)
        if unmatched:
            raise ValueError(f'optim_wrapper.paramwise_cfg.custom_keys: {sorted(unmatched)} match no parameter of the '
                             'model, so they would do nothing; correct or remove them')
        if not groups:
            raise ValueError(f'the model has no trainable parameter ({len(frozen)} are frozen): there is nothing to '
                             'optimize')
        params.extend(groups.values())
        for group in params:
            settings = ', '.join(f'{key}={value:g}' for key, value in group.items() if key != 'params')
            _log(f'optimizer group: {_count(group["params"])}' + (f', {settings}' if settings else ''))
        _log(f'not in the optimizer, frozen: {_count(frozen)}')

    def _scaled(self, lr_mult: float, decay_mult: float) -> dict:
        settings = {}
        if self.base_lr is not None:
            settings['lr'] = self.base_lr * lr_mult
        if self.base_wd is not None:
            settings['weight_decay'] = self.base_wd * decay_mult
        return settings


def _count(parameters: list[nn.Parameter]) -> str:
    return f'{len(parameters)} tensors, {sum(parameter.numel() for parameter in parameters)} values'


def _log(message: str) -> None:
    print_log(message, logger='current', level=logging.INFO)
