"""The distiller: two passes, one trained model, and a teacher that nobody else sees."""
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_ris_kd.engine.checkpoint import load_checkpoint_strictly
from mmseg_ris_kd.models.pretrained import inference_model

WORDS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'red', 'circle', 'left', 'of', 'the', 'blue', 'square')
EXPRESSIONS = ['the red circle', 'blue square left of the red circle']
CMKD = dict(cmkd=dict(type='CMKDLoss', pixel_word={}, channel={}))


@pytest.fixture(scope='module')
def vocab(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('vocab') / 'vocab.txt'
    path.write_text('\n'.join(WORDS) + '\n')
    return str(path)


@pytest.fixture(scope='module')
def student(vocab) -> dict:
    return dict(
        type='ReferringSegmentor',
        data_preprocessor=dict(type='SegDataPreProcessor', mean=[0.] * 3, std=[255.] * 3, size_divisor=1),
        text_encoder=dict(type='RecurrentExpressionEncoder', vocab_file=vocab, embed_dims=8, hidden_dims=8,
                          max_length=8),
        backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, out_indices=(0, 1, 2, 3)),
        decode_head=dict(type='TextConditionedHead', in_channels=(8, 16, 32, 64), channels=8, text_channels=16))


@pytest.fixture(scope='module')
def teacher(student, vocab) -> dict:
    bert = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    return dict(
        student,
        text_encoder=dict(type='BertExpressionEncoder', config=bert, vocab_file=vocab, max_length=10),
        backbone=dict(type='LanguageAwareSwin', text_channels=16, embed_dims=8, depths=(1, 1, 1, 1),
                      num_heads=(1, 1, 2, 2), window_size=4, drop_path_rate=0.5),
        decode_head=dict(type='LAVTHead', in_channels=(8, 16, 32, 64)))


@pytest.fixture(scope='module')
def teacher_ckpt(teacher, tmp_path_factory) -> str:
    """What training leaves: a work dir with a best checkpoint, its batch norms having seen data."""
    init_default_scope('mmseg')
    torch.manual_seed(7)
    model = MODELS.build(copy.deepcopy(teacher)).train()
    model.init_weights()
    model.extract(torch.randn(2, 3, 64, 64), EXPRESSIONS)
    folder = tmp_path_factory.mktemp('teacher')
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'best_mIoU_epoch_1.pth')
    return str(folder)


def build(student, teacher, teacher_ckpt, **options):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    options = dict(dict(distill_losses=CMKD), **options)
    return MODELS.build(copy.deepcopy(dict(
        type='ReferringDistiller', student=student, teacher=teacher, teacher_ckpt=teacher_ckpt, **options)))


def batch(size=64) -> dict:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for expression in EXPRESSIONS:
        target = torch.rand(1, size, size, generator=generator) > 0.5
        samples.append(SegDataSample(
            gt_sem_seg=PixelData(data=target.long()),
            metainfo=dict(expression=expression, ori_shape=(size, size), img_shape=(size, size), img_path='a.png')))
    inputs = [torch.randint(0, 255, (3, size, size), generator=generator, dtype=torch.uint8) for _ in samples]
    return dict(inputs=inputs, data_samples=samples)


def losses_of(model) -> dict:
    return model(**model.data_preprocessor(batch(), True), mode='loss')


def test_losses_of_student_and_distillation(student, teacher, teacher_ckpt):
    distiller = build(student, teacher, teacher_ckpt).train()
    losses = losses_of(distiller)
    assert set(losses) == {'decode.loss_ce', 'distill.cmkd.loss_word_first', 'distill.cmkd.loss_word_high',
                           'distill.cmkd.loss_channel'}
    total, logged = distiller.parse_losses(losses)
    assert total.item() == pytest.approx(sum(value.item() for value in losses.values()))
    assert set(losses) <= set(logged)


def test_the_mask_loss_is_that_of_the_student_alone(student, teacher, teacher_ckpt):
    distiller = build(student, teacher, teacher_ckpt).eval()
    alone = copy.deepcopy(distiller.student)
    torch.testing.assert_close(losses_of(distiller)['decode.loss_ce'], losses_of(alone)['decode.loss_ce'])


def test_nobody_sees_the_teacher(student, teacher, teacher_ckpt):
    distiller = build(student, teacher, teacher_ckpt)
    distiller.init_weights()
    names = {name for name, _ in distiller.named_parameters()} | set(distiller.state_dict())
    assert {name.split('.')[0] for name in names} == {'student', 'distill_losses'}
    wrapper = build_optim_wrapper(distiller, dict(optimizer=dict(type='AdamW', lr=1e-2),
                                                  constructor='RISOptimWrapperConstructor'))
    theirs = {id(p) for p in distiller.teacher.model.parameters()}
    assert theirs and not theirs & {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    average = ExponentialMovingAverage(distiller)
    assert average.module.teacher is distiller.teacher
    assert set(average.module.state_dict()) == set(distiller.state_dict())


def test_a_training_step_changes_the_student_and_not_the_teacher(student, teacher, teacher_ckpt):
    distiller = build(student, teacher, teacher_ckpt).train()
    wrapper = build_optim_wrapper(distiller, dict(optimizer=dict(type='SGD', lr=0.1)))
    before = copy.deepcopy(distiller.teacher.model.state_dict())
    parameters = {name: p.detach().clone() for name, p in distiller.named_parameters()}
    distiller.train_step(batch(), wrapper)
    assert all(torch.equal(before[name], value) for name, value in distiller.teacher.model.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in distiller.teacher.model.parameters())
    assert any(not torch.equal(parameters[name], p) for name, p in distiller.named_parameters())


def test_every_parameter_has_a_gradient(student, teacher, teacher_ckpt):
    """So that distributed training needs no find_unused_parameters."""
    distiller = build(student, teacher, teacher_ckpt).train()
    distiller.parse_losses(losses_of(distiller))[0].backward()
    assert not [name for name, p in distiller.named_parameters() if p.grad is None]


def test_the_teacher_stays_in_evaluation_mode(student, teacher, teacher_ckpt):
    distiller = build(student, teacher, teacher_ckpt)
    distiller.train()
    assert distiller.training and distiller.student.training
    model = distiller.teacher.model
    distiller.train()
    assert not any(module.training for module in model.modules())
    inputs = torch.randn(2, 3, 64, 64)
    first, second = (distiller.teacher(inputs, EXPRESSIONS).logits for _ in range(2))
    assert torch.equal(first, second)  # drop paths are off
    reference = MODELS.build(copy.deepcopy(teacher)).eval()
    load_checkpoint_strictly(reference, f'{teacher_ckpt}/best_mIoU_epoch_1.pth')
    torch.testing.assert_close(first, reference.extract(inputs, EXPRESSIONS).logits)


def test_outside_training_it_is_the_student(student, teacher, teacher_ckpt):
    distiller = build(student, teacher, 'nowhere').eval()  # the teacher is not even looked for
    data = distiller.data_preprocessor(batch(), False)
    torch.testing.assert_close(distiller(**data, mode='tensor'), distiller.student(**data, mode='tensor'))
    masks = [[sample.pred_sem_seg.data for sample in model.val_step(batch())]
             for model in (distiller, distiller.student)]
    assert all(torch.equal(*pair) for pair in zip(*masks))


def test_checkpoints_resume_the_distiller_and_serve_the_student(student, teacher, teacher_ckpt, tmp_path):
    distiller = build(student, teacher, teacher_ckpt)
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=distiller.state_dict(), meta={}), path)
    again = build(student, teacher, teacher_ckpt)
    torch.nn.init.zeros_(next(again.parameters()))
    load_checkpoint_strictly(again, path)
    for name, value in distiller.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    config = dict(type='ReferringDistiller', student=student, teacher=teacher)
    plain = MODELS.build(copy.deepcopy(inference_model(config)))
    load_checkpoint_strictly(plain, path)
    assert all(torch.equal(plain.state_dict()[name], value) for name, value in distiller.student.state_dict().items())


def test_the_teacher_gets_its_own_normalization(student, teacher, teacher_ckpt):
    other = dict(teacher, data_preprocessor=dict(type='SegDataPreProcessor', mean=[100.] * 3, std=[50.] * 3,
                                                 bgr_to_rgb=True, size_divisor=1))
    data = build(student, other, teacher_ckpt).data_preprocessor(batch(), True)
    images = torch.stack(batch()['inputs']).float()
    torch.testing.assert_close(data['inputs'], images / 255)
    torch.testing.assert_close(data['teacher_inputs'], (images.flip(1) - 100) / 50)
    assert build(student, teacher, teacher_ckpt).data_preprocessor(batch(), True)['teacher_inputs'] is None


@pytest.mark.parametrize('mean', [0., 100.])
def test_the_teacher_gets_its_own_size(student, teacher, teacher_ckpt, mean):
    other = dict(teacher, data_preprocessor=dict(teacher['data_preprocessor'], mean=[mean] * 3))
    distiller = build(student, other, teacher_ckpt, teacher_size=(96, 96))
    data = distiller.data_preprocessor(batch(), True)
    assert data['inputs'].shape[2:] == (64, 64) and data['teacher_inputs'].shape[2:] == (96, 96)
    assert all(torch.isfinite(value) for value in losses_of(distiller).values())


def test_accumulated_gradients_equal_the_doubled_batch(student, teacher, teacher_ckpt):
    """Losses are means over images: two halves accumulated are the whole, batch statistics apart."""
    gradients = []
    for counts in (1, 2):
        distiller = build(student, teacher, teacher_ckpt).eval().double()
        data = distiller.data_preprocessor(batch(), True)
        for half in range(counts):
            rows = slice(None) if counts == 1 else slice(half, half + 1)
            part = dict(inputs=data['inputs'][rows].double(), data_samples=data['data_samples'][rows])
            (distiller.parse_losses(distiller(**part, mode='loss'))[0] / counts).backward()
        gradients.append({name: p.grad for name, p in distiller.named_parameters()})
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, rtol=1e-4, atol=1e-7)


def test_the_student_starts_from_the_weights_that_it_has_alone(student, teacher, teacher_ckpt):
    torch.manual_seed(0)
    alone = MODELS.build(copy.deepcopy(student))
    alone.init_weights()
    distiller = build(student, teacher, teacher_ckpt)  # seeds with 0
    distiller.init_weights()
    assert list(distiller.distill_losses.parameters())
    for name, value in alone.state_dict().items():
        assert torch.equal(distiller.student.state_dict()[name], value), name


def test_the_teacher_follows_to_other_devices(student, teacher, teacher_ckpt):
    distiller = build(student, teacher, teacher_ckpt)
    model = distiller.teacher.model
    distiller.to('meta')
    assert {p.device.type for p in model.parameters()} == {'meta'} and model.data_preprocessor.device.type == 'meta'


def test_errors_name_the_keys_of_the_distillation(student, teacher, teacher_ckpt, tmp_path):
    missing = dict(student, backbone=dict(
        student['backbone'], init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'nowhere.pth'))))
    with pytest.raises(FileNotFoundError, match=r'model\.student\.backbone\.init_cfg'):
        build(missing, teacher, teacher_ckpt).init_weights()


@pytest.mark.parametrize('entries, problem', [
    (dict(size_divisor=32), 'pads'),
    (dict(batch_augments=[dict(type='BatchSyncRandomResize', random_size_range=(64, 96))]), 'has batch_augments'),
])
def test_what_one_of_two_preprocessors_alone_does_is_refused(student, teacher, teacher_ckpt, entries, problem):
    other = dict(teacher, data_preprocessor=dict(type='SegDataPreProcessor', mean=[9.] * 3, std=[1.] * 3, **entries))
    with pytest.raises(ValueError, match=f'model.teacher.data_preprocessor {problem}'):
        build(student, other, teacher_ckpt)


@pytest.mark.parametrize('size', [480, (480, ), (480, 0), (480., 480.)])
def test_a_teacher_size_that_is_no_pair_of_pixels_is_refused(student, teacher, teacher_ckpt, size):
    with pytest.raises(ValueError, match=r'model\.teacher_size must be \(height, width\)'):
        build(student, teacher, teacher_ckpt, teacher_size=size)


def test_what_went_wrong_in_the_teacher_is_said(student, teacher, teacher_ckpt, monkeypatch):
    distiller = build(student, teacher, teacher_ckpt)
    monkeypatch.setattr(distiller, '_load_teacher', lambda: None.weights)
    with pytest.raises(RuntimeError, match="model.teacher cannot be built: .* no attribute 'weights'"):
        distiller.init_weights()


def test_losses_combine_and_drop_out(student, teacher, teacher_ckpt):
    losses = dict(cmkd=None, kd=dict(type='LogitKDLoss', loss_weight=0.5), fit=dict(type='FitNetLoss', stages=(3, )))
    assert {name for name in losses_of(build(student, teacher, teacher_ckpt, distill_losses=losses))
            if name.startswith('distill')} == {'distill.kd.loss_logit_kd', 'distill.fit.loss_fitnet'}


def test_bad_teachers_are_refused(student, teacher, teacher_ckpt, tmp_path):
    with pytest.raises(ValueError, match='allow_random_teacher'):
        build(student, teacher, None)
    with pytest.raises(FileNotFoundError, match='model.teacher_ckpt: .*nowhere.*Train the teacher first'):
        build(student, teacher, str(tmp_path / 'nowhere')).init_weights()
    torch.save(dict(state_dict=MODELS.build(copy.deepcopy(student)).state_dict()), tmp_path / 'student.pth')
    with pytest.raises(ValueError, match='does not fit model.teacher. .*checkpoint of another model'):
        build(student, teacher, str(tmp_path / 'student.pth')).init_weights()
    (tmp_path / 'cut.pth').write_bytes(b'PK\x03\x04 cut off')
    with pytest.raises(ValueError, match='cannot be read as a checkpoint'):
        build(student, teacher, str(tmp_path / 'cut.pth')).init_weights()
    with pytest.raises(TypeError, match='maps names to loss configs'):
        build(student, teacher, teacher_ckpt, distill_losses=[])
    random = build(student, teacher, None, allow_random_teacher=True)
    assert all(torch.isfinite(value) for value in losses_of(random).values())


@pytest.mark.parametrize('dtype, similar', [(torch.bfloat16, 0.8), (torch.float16, 0.98)])
def test_gradients_under_autocast(student, teacher, teacher_ckpt, dtype, similar):
    if dtype == torch.float16 and torch.__version__ < '2.3':
        pytest.skip(f'torch {torch.__version__} has no gradient scaler for CPUs')
    gradients = []
    for enabled in (False, True):
        distiller = build(student, teacher, teacher_ckpt)
        with torch.autocast('cpu', dtype=dtype, enabled=enabled):
            losses = losses_of(distiller)
        assert all(value.dtype == torch.float32 and torch.isfinite(value) for value in losses.values())
        if enabled and dtype == torch.float16:
            scaler = torch.amp.GradScaler('cpu', init_scale=2**8)
            scaler.scale(sum(losses.values())).backward()
            scaler.unscale_(torch.optim.SGD(distiller.parameters(), lr=1.))
        else:
            sum(losses.values()).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in distiller.parameters() if p.grad is not None]))
    assert torch.cosine_similarity(*gradients, dim=0) > similar
    assert 0.7 < gradients[1].norm() / gradients[0].norm() < 1.4
