# Relations between words and pixels, and between channels; the weights are our choice
distill_losses = dict(
    cmkd=dict(
        type='CMKDLoss',
        pixel_word=dict(first_order=3., high_order=1., tau=1.),
        channel=dict(loss_weight=0.3, tau=0.1, guided=True),
    ))
