"""Registries of the scope ``mmseg_ris_kd``, which find what MMSegmentation's find.

A config that says ``_base_ = 'mmseg_ris_kd::r18/r18_bert-mini_refcoco.py'`` needs them: mmengine marks what it inherits
with this scope, and imports this module when it builds a part so marked. Components are registered in MMSegmentation's
own registries, of which these are children.
"""
from mmengine.registry import Registry
from mmseg import registry

REGISTRIES = {
    name: Registry(
        getattr(registry, name).name, parent=getattr(registry, name), scope='mmseg_ris_kd', locations=['mmseg_ris_kd'])
    for name in registry.__all__
}
