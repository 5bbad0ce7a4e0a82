_base_ = [
    '../_base_/models/r18-slim_bert-tiny.py',
    '../_base_/datasets/refshapes.py',
    '../_base_/schedules/schedule_40e.py',
    '../_base_/default_runtime.py',
]
model = _base_.student

max_epochs = 16
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=max_epochs, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
