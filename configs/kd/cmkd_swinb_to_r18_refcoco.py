_base_ = [
    '../_base_/distillers/swinb_to_r18.py',
    '../_base_/distill_losses/cmkd.py',
    '../_base_/datasets/refcoco.py',
    '../_base_/schedules/schedule_40e.py',
    '../_base_/default_runtime.py',
]
model = dict(distill_losses=_base_.distill_losses)
