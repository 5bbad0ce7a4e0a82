# From scratch on a CPU: a short warm-up, then polynomial decay
_base_ = './schedule_40e.py'

max_epochs = 11
optim_wrapper = dict(
    optimizer=dict(lr=3e-3),
    clip_grad=dict(max_norm=1.),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=200, by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
