# The student from scratch on ten real images: shows that training and testing run, not how good a model is.
_base_ = [
    '../_base_/models/r18_bert-mini-scratch.py',
    '../_base_/datasets/refcoco-sample.py',
    '../_base_/schedules/schedule_40e.py',
    '../_base_/default_runtime.py',
]
model = _base_.student

optim_wrapper = dict(optimizer=dict(lr=3e-4))
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=10))
train_cfg = dict(val_interval=10)
