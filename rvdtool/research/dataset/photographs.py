"""Photographs that training alone uses, from three public collections of desktop wallpapers.

`photographs.jsonl` lists them. Each is a Git object in its repository's history, so it can't
change; with clones of the repositories, `examples/collect_photographs.py` puts all of them into one
folder. Licences, as the collections state them: elementary: CC0, Unsplash, Pexels or Pixabay
License, CC-BY-2.0 or 4.0, CC-BY-SA-4.0; Ubuntu MATE: CC-BY-SA-4.0 or CC0; Pop!_OS: CC0 or
CC-BY-4.0.
"""

from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict


class Photograph(BaseModel):
    """One of them.

    Attributes:
        repository: on github.com, owner/name.
        blob: the Git object that holds the JPEG file.
        title: the file's name in the collection; most name the photographer.
        size: (width, height).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str
    blob: str
    title: str
    size: tuple[int, int]

    @property
    def path(self) -> str:
        """Of the file, below a source folder."""
        return f"photographs/{self.blob}.jpg"


@cache
def read_photographs() -> tuple[Photograph, ...]:
    """All of them."""
    lines = (
        (files("rvdtool.research.dataset") / "photographs.jsonl").read_text("utf-8").splitlines()
    )
    return tuple(Photograph.model_validate_json(line) for line in lines)
