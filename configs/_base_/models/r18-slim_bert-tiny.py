# ResNet-18 of a quarter of the width and a BERT of 2 layers, from scratch: a student that trains on a CPU.
vocab_file = 'data/refshapes/vocab.txt'
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
        config=dict(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            hidden_dropout_prob=0.,
            attention_probs_dropout_prob=0.,
        ),
        vocab_file=vocab_file,
        max_length=20,
    ),
    backbone=dict(type='ResNet', depth=18, stem_channels=16, base_channels=16, out_indices=(0, 1, 2, 3)),
    decode_head=dict(
        type='TextConditionedHead',
        in_channels=(16, 32, 64, 128),
        channels=48,
        text_channels=128,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
)
