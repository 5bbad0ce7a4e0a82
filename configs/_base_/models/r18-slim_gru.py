# ResNet-18 of a quarter of the width and a GRU, from scratch
_base_ = './r18-slim_bert-tiny.py'

student = dict(
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
