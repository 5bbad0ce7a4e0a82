distill_losses = dict(mgd=dict(type='MGDLoss', mask_ratio=0.5, loss_weight=2e-5))
