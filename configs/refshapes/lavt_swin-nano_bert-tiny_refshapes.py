_base_ = [
    '../_base_/models/lavt_swin-nano_bert-tiny.py',
    '../_base_/datasets/refshapes.py',
    '../_base_/schedules/schedule_refshapes.py',
    '../_base_/default_runtime.py',
]
model = _base_.teacher
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(custom_keys={**_base_.teacher_custom_keys, 'text_encoder': dict(lr_mult=0.2)}),
)
