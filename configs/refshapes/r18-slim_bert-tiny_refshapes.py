_base_ = [
    '../_base_/models/r18-slim_bert-tiny.py',
    '../_base_/datasets/refshapes.py',
    '../_base_/schedules/schedule_refshapes.py',
    '../_base_/default_runtime.py',
]
model = _base_.student
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'text_encoder': dict(lr_mult=0.2)}))
