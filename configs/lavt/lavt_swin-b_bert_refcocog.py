_base_ = [
    '../_base_/models/lavt_swin-b_bert.py',
    '../_base_/datasets/refcocog.py',
    '../_base_/schedules/schedule_40e.py',
    '../_base_/default_runtime.py',
]
model = _base_.teacher
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_.teacher_custom_keys))
