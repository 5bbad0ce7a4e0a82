# RefShapes is generated: python tools/dataset_converters/generate_refshapes.py data
_base_ = './refcoco.py'

image_scale = (96, 96)
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3].scale = test_pipeline[1].scale = image_scale  # of their Resize

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
