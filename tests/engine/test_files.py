import pytest

from mmseg_ris_kd.engine.files import written_whole


def test_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'new' / 'x.txt'
    with written_whole(path) as part:
        part.write_text('first')
        assert not path.exists()
    assert path.read_text() == 'first'
    with pytest.raises(KeyError), written_whole(path) as part:
        part.write_text('half of the sec')
        raise KeyError
    assert path.read_text() == 'first' and list(path.parent.iterdir()) == [path]
