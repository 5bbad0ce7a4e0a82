# LAVT in miniature, from scratch: a teacher that trains on a CPU.
_base_ = './lavt_swin-b_bert.py'

teacher = dict(
    text_encoder=dict(
        _delete_=True,
        type='BertExpressionEncoder',
        config=dict(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            hidden_dropout_prob=0.,
            attention_probs_dropout_prob=0.,
        ),
        vocab_file='data/refshapes/vocab.txt',
        max_length=20,
    ),
    backbone=dict(
        embed_dims=20,
        depths=(1, 1, 2, 1),
        num_heads=(1, 2, 4, 8),
        window_size=6,
        drop_path_rate=0.,
        text_channels=128,
        init_cfg=None,
    ),
    decode_head=dict(in_channels=(20, 40, 80, 160), channels=32),
)
