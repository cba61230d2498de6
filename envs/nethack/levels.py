"""Compiling NetHack's level description files ("des-files") for one engine.

MiniHack compiles by a shell script that ignores errors, and puts the level into an archive
together with the other data files each time. NetHack also opens a level that lies beside the
archive, so here the archive is made once per process and only the level is compiled.
"""

from __future__ import annotations

import difflib
import functools
import subprocess
import tempfile
from pathlib import Path

from envs.nethack.packages import minihack_base

LEVEL_NAME = "mylevel"
_ENGINE_TOOLS = Path(minihack_base.HACKDIR)
_DATA_FILES = Path(minihack_base.LIB_DIR)
_SHIPPED = Path(minihack_base.PATH_DAT_DIR)


def install_level(des_file: object, folder: str) -> None:
    """Compile a level into the folder of an engine; its next game is played there.

    Args:
        des_file: see `read_level`.
        folder: the engine's own folder.

    Raises:
        ValueError: see `read_level`; or the description has an error, with its place.
    """
    if not isinstance(des_file, str):
        raise ValueError(
            f"des_file must be a level description or the path of one, got {des_file!r}."
        )
    text = read_level(des_file)
    place = Path(folder)
    source, compiled = place / f"{LEVEL_NAME}.des", place / f"{LEVEL_NAME}.lev"
    source.write_text(text, encoding="utf-8")
    compiled.unlink(missing_ok=True)
    done = subprocess.run(
        [_ENGINE_TOOLS / "lev_comp", source.name],
        cwd=place, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ValueError(
            f"The level description {_shown(des_file)} has an error: "
            f"{(done.stderr or done.stdout).strip().removeprefix(source.name + ': ')}"
        )
    if not compiled.exists():
        raise ValueError(
            f"The level description {_shown(des_file)} must describe the level named "
            f'"{LEVEL_NAME}": begin it with MAZE:"{LEVEL_NAME}",\' \' or LEVEL:"{LEVEL_NAME}".'
        )
    archive = place / "nhdat"
    if archive.is_symlink():  # nle's own archive, in which MiniHack's dungeon is not
        archive.unlink()
        archive.write_bytes(_archive())


def read_level(des_file: str) -> str:
    """Return the text of a level description.

    Args:
        des_file: the text itself (more than one line), a path, or the name of a file that
            minihack ships.

    Raises:
        ValueError: there is no such file; the nearest one of minihack's is named.
    """
    if "\n" in des_file:
        return des_file
    for path in (Path(des_file), _SHIPPED / des_file):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    near = difflib.get_close_matches(
        Path(des_file).name, [path.name for path in _SHIPPED.glob("*.des")], n=1
    )
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"des_file must be a level description (text of several lines), the path of a file, or "
        f"the name of one that minihack ships; there is no file {des_file!r}.{hint}"
    )


@functools.cache
def _archive() -> bytes:
    """Return NetHack's data archive with the dungeon of MiniHack, and no level in it."""
    names = sorted(path.name for path in _DATA_FILES.iterdir() if path.is_file())
    with tempfile.TemporaryDirectory(prefix="ctrl-nethack-") as folder:
        target = Path(folder) / "nhdat"
        subprocess.run([_ENGINE_TOOLS / "dlb", "cf", target, *names], cwd=_DATA_FILES, check=True)
        return target.read_bytes()


def _shown(des_file: str) -> str:
    return "given as text" if "\n" in des_file else repr(des_file)
