# LAVT with Swin-B teaches a ResNet-18 with an eighth of its parameters
_base_ = ['../models/lavt_swin-b_bert.py', '../models/r18_bert-mini.py']

model = dict(
    type='ReferringDistiller',
    student=_base_.student,
    teacher=_base_.teacher,
    teacher_ckpt='work_dirs/lavt_swin-b_bert_refcoco',  # a checkpoint, or a work dir: its best one
)
