# LAVT's schedule: AdamW, polynomial decay per iteration, no warm-up, no clipping, 40 epochs of batch 32
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='RISOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-5, weight_decay=1e-2),
)
param_scheduler = [
    dict(type='PolynomialLR', power=0.9, eta_min=0, begin=0, end=40, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=32)
