# Images are resized to 480 x 480 without keeping the aspect ratio, as LAVT does; masks are compared at the original size.
data_root = 'data'
image_scale = (480, 480)

train_pipeline = [
    dict(type='LoadReferringImage'),
    dict(type='LoadReferringMask'),
    dict(type='SampleExpression'),
    dict(type='Resize', scale=image_scale, keep_ratio=False, backend='pillow'),
    dict(type='PackReferringInputs'),
]
test_pipeline = [
    dict(type='LoadReferringImage'),
    dict(type='Resize', scale=image_scale, keep_ratio=False, backend='pillow'),
    dict(type='LoadReferringMask'),
    dict(type='SampleExpression'),
    dict(type='PackReferringInputs'),
]

train_dataloader = dict(
    batch_size=8,  # of 4 GPUs
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='EpochAwareSampler', shuffle=True),
    dataset=dict(type='RefCOCODataset', data_root=data_root, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='RefCOCODataset', data_root=data_root, split='val', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='RISMetric')
test_evaluator = val_evaluator
