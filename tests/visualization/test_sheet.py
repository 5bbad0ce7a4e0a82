"""Panels and sheets: sizes, places, texts of every kind and errors."""
from __future__ import annotations

import numpy as np
import pytest

from mmseg_ris_kd.visualization import PREDICTION_COLOR, TARGET_COLOR, Panel, draw_panel, draw_sheet
from mmseg_ris_kd.visualization.sheet import BACKGROUND, LETTERBOX

GREY = 90


def panel(height=96, width=96, *, expression='the red circle on the left', target=True, prediction=True,
          caption='IoU 50.0'):
    mask = np.zeros((height, width), bool)
    mask[height // 4:height // 2, width // 4:width // 2] = True
    return Panel(np.full((height, width, 3), GREY, np.uint8), expression, mask if target else None,
                 mask if prediction else None, caption)


def has_color(image, color, tolerance=3):
    return bool(np.all(np.abs(np.asarray(image).astype(int) - np.array(color)) <= tolerance, axis=-1).any())


@pytest.mark.parametrize(('height', 'width', 'shown'), [(96, 96, (320, 320)), (480, 640, (320, 240)),
                                                        (1000, 500, (160, 320)), (4, 4000, (320, 1))])
def test_image_is_letterboxed_with_its_aspect_kept(height, width, shown):
    drawn = np.asarray(draw_panel(panel(height, width, target=False, prediction=False), image_height=320))
    assert drawn.shape[1] == 320 and drawn.shape[0] > 320
    rows, columns = np.nonzero(np.all(drawn[:320] == GREY, axis=-1))
    assert (columns.max() - columns.min() + 1, rows.max() - rows.min() + 1) == shown
    # centred, and letterboxed around
    assert abs(rows.min() - (319 - rows.max())) <= 1 and abs(columns.min() - (319 - columns.max())) <= 1
    if shown != (320, 320):
        assert tuple(drawn[0, 0]) == LETTERBOX and tuple(drawn[319, 319]) == LETTERBOX


def test_masks_are_drawn_where_they_are():
    drawn = np.asarray(draw_panel(panel(prediction=False)))
    # target is the square from 24 to 48 of 96, shown at 320 / 96
    assert np.abs(drawn[120, 80].astype(int) - TARGET_COLOR).max() <= 3
    assert np.abs(drawn[80, 120].astype(int) - TARGET_COLOR).max() <= 3
    assert tuple(drawn[120, 120]) == (GREY,) * 3 and tuple(drawn[250, 250]) == (GREY,) * 3


def test_text_stands_under_the_image_in_the_panel():
    drawn = np.asarray(draw_panel(panel(caption=None)))
    ink = np.nonzero((drawn[320:] < 128).all(axis=-1))
    assert len(ink[0]) > 50 and ink[1].max() < 315
    with_caption = np.asarray(draw_panel(panel(expression='man')))
    faint = np.nonzero((with_caption[320:] < 200).all(axis=-1))[1]
    assert faint.max() > 310  # the caption ends at the right edge
    assert with_caption.shape == np.asarray(draw_panel(panel(expression='man', caption=None))).shape


def test_a_long_caption_goes_to_a_line_of_its_own():
    short = draw_panel(panel(expression='man'))
    assert draw_panel(panel(expression='man', caption='no target, none predicted')).height > short.height


@pytest.mark.parametrize('expression', [
    '', 'man ' * 600, 'x' * 3000, 'die Frau mit dem größten Hut', '左边穿红色衣服的男人', 'الرجل على اليسار',
    'мужчина слева', 'x' + '\u0301' * 3000,
    'the 😀 emoji 👩‍👩‍👧 family', 'bad \x00\x1b\ud83d bytes', 'e\u0301\u0301\u0301 combining', '\u202eright to left'
])
def test_every_text_can_be_drawn_and_stays_in_a_bounded_panel(expression):
    drawn = draw_panel(panel(expression=expression), panel_size=200)
    assert drawn.width == 200 and 200 < drawn.height < 200 + 8 * 16


def test_a_longer_expression_takes_more_lines_and_no_other_cut():
    heights = [draw_panel(panel(expression='word ' * count)).height for count in (1, 10, 20, 30)]
    assert heights == sorted(heights) and len(set(heights)) == 4


def test_sheet_has_rows_and_columns_and_margins():
    sheet = draw_sheet([panel() for _ in range(6)], columns=4, panel_size=160)
    assert sheet.mode == 'RGB' and sheet.width == 4 * 160 + 5 * 10
    pixels = np.asarray(sheet)
    assert (pixels[:, :10] == BACKGROUND).all() and (pixels[:, -10:] == BACKGROUND).all()
    # six images: four in the first row, two in the second
    grey_columns = [np.all(pixels[:, 10 + i * 170 + 150] == GREY, axis=-1).sum() for i in range(4)]
    assert grey_columns == [320, 320, 160, 160]


def test_few_panels_make_a_narrow_sheet():
    assert draw_sheet([panel()], columns=4, panel_size=160).width == 160 + 2 * 10


def test_row_is_as_high_as_its_highest_image():
    wide = [panel(50, 100, caption=None, expression='a')] * 2
    tall = [panel(100, 50, caption=None, expression='a')]
    low, high = draw_sheet(wide, panel_size=160).height, draw_sheet(wide + tall, panel_size=160).height
    assert high - low == 80


def test_legend_names_only_what_is_shown():
    heads = {}
    for target in (True, False):
        for prediction in (True, False):
            sheet = np.asarray(draw_sheet([panel(target=target, prediction=prediction)], panel_size=320))
            heads[target, prediction] = sheet[:int(np.nonzero(np.all(sheet == GREY, axis=-1))[0].min())]
    assert has_color(heads[True, True], TARGET_COLOR) and has_color(heads[True, True], PREDICTION_COLOR)
    assert has_color(heads[True, False], TARGET_COLOR) and not has_color(heads[True, False], PREDICTION_COLOR)
    assert has_color(heads[False, True], PREDICTION_COLOR) and not has_color(heads[False, True], TARGET_COLOR)
    assert (heads[False, False] == 255).all()


def test_title_takes_room_above_the_legend():
    plain = draw_sheet([panel()])
    assert draw_sheet([panel()], title='RefCOCO testA').height > plain.height
    assert draw_sheet([panel()], title='a very long title ' * 30).width == plain.width


def test_drawing_does_not_change_its_input():
    given = panel()
    copies = given.image.copy(), given.target.copy(), given.prediction.copy()
    draw_sheet([given])
    assert all(np.array_equal(a, b) for a, b in zip(copies, (given.image, given.target, given.prediction)))


def test_panel_refuses_what_it_cannot_draw():
    image = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(TypeError, match='uint8 RGB array, got float32'):
        Panel(image.astype(np.float32), 'man')
    with pytest.raises(TypeError, match='must be a str, got int 3'):
        Panel(image, 3)
    with pytest.raises(ValueError, match=r'\(H, W, 3\), got \(4, 6\)'):
        Panel(image[..., 0], 'man')
    with pytest.raises(ValueError, match=r'Panel.target of "man" has shape \(6, 4\), its image \(4, 6\)'):
        Panel(image, 'man', np.zeros((6, 4), bool))
    with pytest.raises(ValueError, match='Panel.prediction'):
        Panel(image, 'man', None, np.zeros((1, 4, 6), bool))


def test_sheet_refuses_impossible_layouts():
    with pytest.raises(ValueError, match='no panels'):
        draw_sheet([])
    with pytest.raises(ValueError, match='columns must be at least 1, got 0'):
        draw_sheet([panel()], columns=0)
    with pytest.raises(ValueError, match='panel_size must be at least 64 pixels, got 10'):
        draw_sheet([panel()], panel_size=10)
