distill_losses = dict(skd=dict(type='SKDPairwiseLoss', scale=0.5, loss_weight=10.))
