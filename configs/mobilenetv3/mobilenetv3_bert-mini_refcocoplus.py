_base_ = [
    '../_base_/models/mobilenetv3_bert-mini.py',
    '../_base_/datasets/refcocoplus.py',
    '../_base_/schedules/schedule_40e.py',
    '../_base_/default_runtime.py',
]
model = _base_.student
