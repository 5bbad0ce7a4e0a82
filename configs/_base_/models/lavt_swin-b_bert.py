# LAVT (CVPR 2022, https://arxiv.org/abs/2112.02244): Swin-B that reads BERT's words after each stage. 227.7 M parameters.
teacher = dict(
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
        pretrained='bert-base-uncased',
        max_length=20,
        frozen=('embeddings', 'encoder.layer.10', 'encoder.layer.11'),
    ),
    backbone=dict(
        type='LanguageAwareSwin',
        pretrain_img_size=384,
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=12,
        drop_path_rate=0.3,
        text_channels=768,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_base_patch4_window12_384_22k_20220317-e5c09f74.pth'),
    ),
    decode_head=dict(
        type='LAVTHead',
        in_channels=(128, 256, 512, 1024),
        channels=512,
        loss_decode=dict(type='CrossEntropyLoss', class_weight=[0.9, 1.1], avg_non_ignore=True),
    ),
)
# of the visual encoder, normalization and position biases do not decay; BERT's and the decoder's normalization does
teacher_custom_keys = {
    'backbone.patch_embed.norm': dict(decay_mult=0.),
    '.norm1': dict(decay_mult=0.),
    '.norm2': dict(decay_mult=0.),
    '.downsample.norm': dict(decay_mult=0.),
    'relative_position_bias_table': dict(decay_mult=0.),
    'decode_head.norms': dict(decay_mult=0.),
}
