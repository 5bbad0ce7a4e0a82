distill_losses = dict(at=dict(type='AttentionTransferLoss', loss_weight=1e4))
