# A student with mmpretrain's MobileNetV3 instead of ResNet-18.
_base_ = './r18_bert-mini.py'

student = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.MobileNetV3',
        arch='large',
        out_indices=(3, 6, 12, 16),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/mobilenet_v3/convert/'
            'mobilenet_v3_large-3ea3c186.pth',
            prefix='backbone'),
    ),
    decode_head=dict(in_channels=(24, 40, 112, 960)),
)
