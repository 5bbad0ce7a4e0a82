"""Tests of how masks are made from logits and targets."""
import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_ris_kd.evaluation.masks import foreground_mask, predicted_mask, target_mask
from mmseg_ris_kd.evaluation.protocols import PROTOCOLS


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_rules_agree_with_softmax_and_sigmoid(dtype):
    logits = torch.randn(2, 20, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    probability = logits.double().softmax(0)[1]
    assert torch.equal(foreground_mask(logits, mask_rule='argmax'), logits.argmax(0) == 1)
    assert torch.equal(foreground_mask(logits, mask_rule='threshold', threshold=0.35), probability > 0.35)
    single = logits[:1]
    assert torch.equal(foreground_mask(single, mask_rule='argmax'), single[0] > 0)
    assert torch.equal(foreground_mask(single, mask_rule='threshold', threshold=0.35),
                       single[0].double().sigmoid() > 0.35)


def test_a_tie_is_background():
    assert not foreground_mask(torch.zeros(2, 1, 1), mask_rule='argmax').item()
    assert not foreground_mask(torch.zeros(1, 1, 1), mask_rule='argmax').item()


def test_bad_logits_are_refused():
    with pytest.raises(ValueError, match=r'\(3, 4, 4\)'):
        foreground_mask(torch.zeros(3, 4, 4), mask_rule='argmax')
    with pytest.raises(ValueError, match='mask_rule.*mean'):
        foreground_mask(torch.zeros(1, 4, 4), mask_rule='mean')


def sample(**fields):
    return {'img_path': 'a.jpg', 'ref_id': 3, 'sent_id': 7,
            **{name: {'data': data} for name, data in fields.items()}}


def test_each_protocol_reads_its_own_field():
    given = sample(pred_sem_seg=torch.ones(1, 2, 3), seg_logits=torch.full((1, 2, 3), -0.5),
                   input_seg_logits=torch.full((1, 4, 4), -0.5))
    found = {name: predicted_mask(given, protocol) for name, protocol in PROTOCOLS.items()}
    assert {name: tuple(mask.shape) for name, mask in found.items()} == {
        'ours': (2, 3), 'lavt': (4, 4), 'caris': (4, 4), 'cris': (2, 3), 'detris': (2, 3)}
    # sigmoid(-0.5) = 0.38 lies above 0.35 and below 0.5
    assert {name: bool(mask.all()) for name, mask in found.items()} == {
        'ours': True, 'lavt': False, 'caris': False, 'cris': True, 'detris': True}


@pytest.mark.parametrize('name, words', [
    ('ours', ['pred_sem_seg']), ('lavt', ['input_seg_logits', 'keep_input_logits=True', 'lavt']),
    ('caris', ['input_seg_logits', 'keep_input_logits=True']), ('cris', ['seg_logits', 'ours']),
])
def test_a_missing_prediction_names_sample_and_fix(name, words):
    with pytest.raises(ValueError) as error:
        predicted_mask(sample(gt_sem_seg=torch.zeros(1, 2, 2)), PROTOCOLS[name])
    assert all(word in str(error.value) for word in [*words, "'a.jpg'", 'ref_id=3', 'sent_id=7'])


def test_bad_logits_name_the_sample():
    with pytest.raises(ValueError, match=r'a\.jpg.*seg_logits.*\(5, 2, 2\)'):
        predicted_mask(sample(seg_logits=torch.zeros(5, 2, 2)), PROTOCOLS['cris'])


def test_target_is_resized_as_pillow_does():
    mask = np.random.default_rng(0).integers(0, 2, (37, 53), dtype=np.uint8)
    found = target_mask(sample(gt_sem_seg=torch.from_numpy(mask)[None]), size=(48, 24))
    expected = np.array(Image.fromarray(mask).resize((24, 48), Image.NEAREST))
    assert found.shape == (48, 24) and np.array_equal(found.numpy(), expected)
    assert np.array_equal(target_mask(sample(gt_sem_seg=torch.from_numpy(mask))).numpy(), mask)


def test_one_pixel_high_masks_keep_their_shape():
    assert target_mask(sample(gt_sem_seg=torch.ones(1, 1, 5))).shape == (1, 5)


def test_target_errors_name_the_sample():
    with pytest.raises(ValueError, match='sent_id=7.*gt_sem_seg.*LoadReferringMask'):
        target_mask(sample())
    with pytest.raises(ValueError, match=r'sent_id=7.*gt_sem_seg.*\(2, 3, 3\)'):
        target_mask(sample(gt_sem_seg=torch.ones(2, 3, 3)))
