_base_ = './refcoco.py'

split_by = 'umd'  # train / val / test; 'google' has train / val
train_dataloader = dict(dataset=dict(type='RefCOCOgDataset', split_by=split_by))
val_dataloader = dict(dataset=dict(type='RefCOCOgDataset', split_by=split_by))
test_dataloader = val_dataloader
