# The student from scratch on ten real images: shows that training and testing run, not how good a model is.
_base_ = [
    '../_base_/models/r18_bert-mini-scratch.py',
    '../_base_/datasets/refcoco-sample.py',
    '../_base_/schedules/schedule_40e.py',
    '../_base_/default_runtime.py',
]
model = _base_.student

max_epochs = 40
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(custom_keys={'text_encoder': dict(lr_mult=0.2)}),
    clip_grad=dict(max_norm=1.),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=30, by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
default_hooks = dict(logger=dict(interval=6), checkpoint=dict(interval=10))
