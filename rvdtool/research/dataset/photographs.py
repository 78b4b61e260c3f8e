"""Photographs from three public collections of desktop wallpapers.

`photographs.jsonl` lists those that training alone uses, `phones.jsonl` those of the parts `phones`
and `phones-validation`. Each is a Git object in its repository's history, so it can't change; with
clones of the repositories, `examples/collect_photographs.py` puts all of them into one folder.

Licences, as the collections state them: elementary: CC0, Unsplash, Pexels or Pixabay License,
CC-BY-2.0 or 4.0, CC-BY-SA-4.0; Ubuntu MATE: CC-BY-SA-4.0 or CC0; Pop!_OS: CC0 or CC-BY-4.0. Of
`phones.jsonl`, one is Pop!_OS's (public domain); the others were proposed to elementary, whose
rules accept openly licensed pictures only, without a licence stated for each.
"""

from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

from rvdtool.research.dataset.recipe import Source
from rvdtool.research.dataset.take import Scene


class Photograph(BaseModel):
    """One photograph.

    Attributes:
        repository: owner/name on github.com.
        blob: hash of the Git object with the JPEG file.
        title: the file's name in the collection; most contain the photographer's name.
        size: (width, height).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str
    blob: str
    title: str
    size: tuple[int, int]

    @property
    def path(self) -> str:
        """Path of the file, relative to a source folder."""
        return f"photographs/{self.blob}.jpg"


@cache
def read_photographs(
    of: Literal["photographs", "phones"] = "photographs",
) -> tuple[Photograph, ...]:
    """Read one list of photographs."""
    lines = (files("rvdtool.research.dataset") / f"{of}.jsonl").read_text("utf-8").splitlines()
    return tuple(Photograph.model_validate_json(line) for line in lines)


def photographed(photograph: Photograph, highlights: float) -> Scene:
    """A scene of a photograph, shrunk to about 1280×800 pixels."""
    width, height = photograph.size
    shrink = round(min(max(min(width / 1280, height / 800), 2), 6), 2)
    source = Source(kind="photo", path=photograph.path, shrink=shrink, highlights=highlights)
    return Scene(source, (int(width / shrink), int(height / shrink)))
