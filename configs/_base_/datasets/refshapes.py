# RefShapes is generated: python tools/dataset_converters/generate_refshapes.py data
_base_ = './refcoco.py'

image_scale = (96, 96)
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
    batch_size=32,
    num_workers=1,
    dataset=dict(type='RefShapesDataset', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(type='RefShapesDataset', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
