_base_ = './refcoco.py'

train_dataloader = dict(dataset=dict(type='GRefCOCODataset'))
val_dataloader = dict(dataset=dict(type='GRefCOCODataset'))
test_dataloader = val_dataloader

val_evaluator = dict(generalized=True)
test_evaluator = val_evaluator
