# The student of the demo: recurrent text features learn faster from scratch than a transformer's
_base_ = './r18-slim_bert-tiny_refshapes.py'

model = dict(
    text_encoder=dict(
        _delete_=True,
        type='RecurrentExpressionEncoder',
        vocab_file='data/refshapes/vocab.txt',
        embed_dims=64,
        hidden_dims=64,  # of each direction
        cell='GRU',
        bidirectional=True,
        max_length=20,
    ))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'text_encoder': dict(lr_mult=1.)}))
