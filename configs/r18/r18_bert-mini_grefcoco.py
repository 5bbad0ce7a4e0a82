_base_ = [
    '../_base_/models/r18_bert-mini.py',
    '../_base_/datasets/grefcoco.py',
    '../_base_/schedules/schedule_40e.py',
    '../_base_/default_runtime.py',
]
model = _base_.student
