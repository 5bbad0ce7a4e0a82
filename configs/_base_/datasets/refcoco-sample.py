# A handful of RefCOCO images in the layout of the whole dataset, to see real data run through: every expression is
# trained on and tested on, at a reduced size. $MMSEG_RIS_KD_SHARED, or --data-root, says where they are.
_base_ = './refcoco.py'

data_root = '{{$MMSEG_RIS_KD_SHARED:../shared/data}}/refer'
image_scale = (224, 224)
split = 'testA'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3].scale = test_pipeline[1].scale = image_scale  # of their Resize

train_dataloader = dict(
    batch_size=5,
    num_workers=1,
    dataset=dict(data_root=data_root, split=split, expression_mode='all', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(data_root=data_root, split=split, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
