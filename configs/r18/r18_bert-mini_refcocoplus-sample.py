_base_ = './r18_bert-mini_refcoco-sample.py'

train_dataloader = dict(dataset=dict(type='RefCOCOPlusDataset'))
val_dataloader = dict(dataset=dict(type='RefCOCOPlusDataset'))
test_dataloader = val_dataloader
