# ResNet-18 of a quarter of the width and a BERT of 2 layers, from scratch: a student that trains on a CPU.
_base_ = './r18_bert-mini.py'

student = dict(
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
    backbone=dict(stem_channels=16, base_channels=16, init_cfg=None),
    decode_head=dict(in_channels=(16, 32, 64, 128), channels=48, text_channels=128),
)
