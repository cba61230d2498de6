import pytest

from reward_models.coded.program import (
    Convention,
    Program,
    extract_code,
    is_program_file,
    program_file,
)
from reward_models.errors import UnknownNameError, UserError


def test_that_the_first_python_fence_is_taken():
    text = (
        "Use this:\n```text\nno\n```\n```python\ndef f():\n    return 1\n```\n```python\nx = 2\n```"
    )
    assert extract_code(text) == "def f():\n    return 1\n"


def test_that_an_unmarked_fence_is_taken_when_there_is_no_other():
    assert (
        extract_code("Here:\n```\ndef f():\n    return 1\n```\nbye") == "def f():\n    return 1\n"
    )


def test_that_prose_and_imports_before_the_first_function_are_dropped():
    code = "A = 1.0\ndef f():\n    return A\n"
    assert extract_code("Sure!\nimport numpy as np\nfrom math import pi\n\n" + code) == code


def test_that_a_constant_of_several_lines_is_kept():
    code = 'WEIGHTS = {\n    "a": 1.0,\n}\n\ndef f():\n    return WEIGHTS["a"]\n'
    assert extract_code('"""Rewards."""\nimport os\n' + code) == code


def test_that_without_a_fence_the_whole_text_is_tried():
    assert extract_code("I cannot do that") == "I cannot do that\n"


def test_that_a_file_gives_back_the_program(make_program, tmp_path):
    program = make_program(dense="obs['position'] + 'ä\\n'.count('n')")
    path = tmp_path / "best.py"
    Program(program.source, program.convention, program.inputs, ("a" * 64,)).save(path)
    loaded = Program.load(path)
    assert loaded.source == program.source
    assert loaded.inputs == program.inputs
    assert loaded.parents == ("a" * 64,)
    assert loaded.sha256 != program.sha256  # the parents count
    assert path.read_text(encoding="utf-8").endswith(program.source)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return 0", "return 1"),
        ("# convention: signed", "# convention: scalar"),
        ('"name": "state.hit_points"', '"name": "state.hit_point"'),
        ("# parents: []", '# parents: ["x"]'),
    ],
)
def test_that_any_change_of_a_file_is_refused(old, new, make_program, tmp_path):
    path = tmp_path / "best.py"
    make_program().save(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=r"changed after it was reviewed|damaged"):
        Program.load(path)


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 6])
def test_that_a_damaged_header_is_refused(lines, make_program, tmp_path):
    path = tmp_path / "best.py"
    make_program().save(path)
    text = path.read_text().split("\n")
    path.write_text("\n".join([*text[:lines], *text[lines + 1 :]]))
    with pytest.raises(UserError):
        Program.load(path)


def test_that_line_ends_of_other_systems_do_not_change_the_hash(make_program, tmp_path):
    path = tmp_path / "best.py"
    make_program().save(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert Program.load(path) == make_program()


def test_that_loading_executes_nothing(inputs, tmp_path):
    source = f"open({str(tmp_path / 'written')!r}, 'w').write('x')\n"
    Program(source, Convention.SIGNED, inputs).save(tmp_path / "best.py")
    assert Program.load(tmp_path / "best.py").source == source
    assert not (tmp_path / "written").exists()


def test_that_program_files_are_told_from_other_files(make_program, tmp_path):
    make_program().save(tmp_path / "best.py")
    (tmp_path / "other.py").write_text("def program(observation):\n    return 0\n")
    assert is_program_file(tmp_path / "best.py")
    assert not is_program_file(tmp_path / "other.py")
    assert not is_program_file(tmp_path / "missing.py")
    assert program_file(f"{tmp_path}/best.py:program") == f"{tmp_path}/best.py"
    assert program_file(f"{tmp_path}/other.py:program") is None
    assert program_file("rnd") is None


def test_that_an_unknown_convention_names_the_nearest(make_program, tmp_path):
    path = tmp_path / "best.py"
    make_program().save(path)
    path.write_text(path.read_text().replace("convention: signed", "convention: signd"))
    with pytest.raises(UnknownNameError, match="'signed'"):
        Program.load(path)
