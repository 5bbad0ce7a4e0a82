_base_ = './refcoco.py'

train_dataloader = dict(dataset=dict(type='RefCOCOPlusDataset'))
val_dataloader = dict(dataset=dict(type='RefCOCOPlusDataset'))
test_dataloader = val_dataloader
