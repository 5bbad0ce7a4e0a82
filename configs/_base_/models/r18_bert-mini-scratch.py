# r18_bert-mini without pretrained weights: the same architecture, and the vocabulary file of the sample.
_base_ = './r18_bert-mini.py'

student = dict(
    text_encoder=dict(
        pretrained=None,
        config=dict(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024),
        vocab_file='{{$MMSEG_RIS_KD_SHARED:../shared/data}}/vocab/bert-base-uncased-vocab.txt',
    ),
    backbone=dict(init_cfg=None),
)
