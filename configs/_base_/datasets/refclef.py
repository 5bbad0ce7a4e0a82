_base_ = './refcoco.py'

train_dataloader = dict(dataset=dict(type='RefClefDataset'))
val_dataloader = dict(dataset=dict(type='RefClefDataset'))
test_dataloader = val_dataloader
