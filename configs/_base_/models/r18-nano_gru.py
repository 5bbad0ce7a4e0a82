# An eighth of the parameters of r18-slim_gru, its teacher: ResNet-18 of a tenth of its usual width.
_base_ = './r18-slim_gru.py'

teacher = _base_.student
student = dict(
    text_encoder=dict(embed_dims=20, hidden_dims=20),
    backbone=dict(stem_channels=6, base_channels=6),
    decode_head=dict(in_channels=(6, 12, 24, 48), channels=12, text_channels=40),
)
