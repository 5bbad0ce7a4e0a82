# The student: ResNet-18 and a BERT of 4 layers with the teacher's own vocabulary, language fused in the decode head.
student = dict(
    type='ReferringSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1,
    ),
    text_encoder=dict(
        type='BertExpressionEncoder',
        pretrained='google/bert_uncased_L-4_H-256_A-4',
        max_length=20,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        out_indices=(0, 1, 2, 3),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    decode_head=dict(
        type='TextConditionedHead',
        in_channels=(64, 128, 256, 512),
        channels=64,
        text_channels=256,
        loss_decode=[
            dict(type='CrossEntropyLoss', avg_non_ignore=True),
            dict(type='DiceLoss', use_sigmoid=False, ignore_index=0, naive_dice=True),  # of the foreground
        ],
    ),
)
