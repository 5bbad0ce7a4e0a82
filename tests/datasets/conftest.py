"""Writes small REFER datasets for the tests of the readers and transforms."""
from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 24, 40
BOX = [[4, 4, 20, 4, 20, 12, 4, 12]]  # x 4..20, y 4..12


def ref(image: int, *texts: str, split: str = 'train', segmentation=BOX, ann_id=None) -> dict:
    """Describe one ref of ``write_refer``: its image, its expressions and its target."""
    return dict(image=image, texts=texts, split=split, segmentation=segmentation, ann_id=ann_id)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_RIS_KD_CACHE', str(tmp_path / 'cache'))


@pytest.fixture
def write_refer(tmp_path):
    """Function that writes ``<tmp_path>/refcoco`` with the given refs and returns ``tmp_path``.

    Ref ids are 100, 101, ...; annotation ids 1000, 1001, ...; sentence ids count from 0. ``raw`` is the text as given,
    ``sent`` its lower-case form. Image n is ``n.png``, uniformly gray with value n.
    """

    def write(refs: list, folder: str = 'refcoco', split_file: str = 'refs(unc).p', images: str | None = None) -> Path:
        image_folder = tmp_path / (images or 'images/mscoco/images/train2014')
        image_folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / folder).mkdir(exist_ok=True)
        ids = sorted({r['image'] for r in refs})
        for i in ids:
            Image.fromarray(np.full((HEIGHT, WIDTH, 3), i, np.uint8)).save(image_folder / f'{i}.png')
        coco_images = [dict(id=i, file_name=f'{i}.png', height=HEIGHT, width=WIDTH) for i in ids]
        annotations, records, sent_id = [], [], 0
        for n, r in enumerate(refs):
            annotations.append(dict(id=1000 + n, image_id=r['image'], category_id=1, iscrowd=0, area=1.,
                                    bbox=[4, 4, 16, 8], segmentation=r['segmentation']))
            sentences = [dict(sent_id=sent_id + k, raw=t, sent=t.lower(), tokens=t.split())
                         for k, t in enumerate(r['texts'])]
            sent_id += len(sentences)
            records.append(dict(ref_id=100 + n, ann_id=1000 + n if r['ann_id'] is None else r['ann_id'],
                                image_id=r['image'], category_id=1, split=r['split'], file_name=f'{r["image"]}_{n}.png',
                                sent_ids=[s['sent_id'] for s in sentences], sentences=sentences))
        content = dict(images=coco_images, annotations=annotations, categories=[dict(id=1, name='thing')])
        (tmp_path / folder / 'instances.json').write_text(json.dumps(content))
        path = tmp_path / folder / split_file
        if path.suffix == '.json':
            path.write_text(json.dumps(records))
        else:
            path.write_bytes(pickle.dumps(records, protocol=2))
        return tmp_path

    write.ref = ref
    return write
