"""Container images made on the spot: no registry, no Dockerfile, no engine is needed for it.

An image here is one layer and one configuration, as bytes in files with their digests. An
engine loads it from an `archive`, a registry gives it out as `manifest` and blobs. Not here:
what is in them (`roots.py`).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI = "application/vnd.oci.image"  # how the types begin of those that may have annotations

Fill = Callable[[tarfile.TarFile], None]
"""Puts the files of a layer into a tar."""


@dataclass(frozen=True)
class Layer:
    """One layer, uncompressed, in a file."""

    path: Path
    digest: str  # of the tar itself
    compressed: bytes = b""  # as a registry gives it out; made only where asked for

    @property
    def sha256(self) -> str:
        """Of what a registry gives out."""
        return digest(self.compressed)


@dataclass(frozen=True)
class Image:
    """A layer and what the image says of itself. With `annotations` its manifest is of OCI's type,
    the only one that has them; a registry gives them out, an `archive` has none."""

    layer: Layer
    config: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """By which engines know it."""
        return digest(self.config)

    @property
    def kind(self) -> str:
        """The type of its manifest."""
        return f"{OCI}.manifest.v1+json" if self.annotations else MANIFEST

    @property
    def manifest(self) -> bytes:
        """As a registry gives it out; by its digest an image is pinned."""
        layer, kinds = self.layer, (CONFIG, LAYER)
        if self.annotations:
            kinds = (f"{OCI}.config.v1+json", f"{OCI}.layer.v1.tar+gzip")
        about = {
            "schemaVersion": 2,
            "mediaType": self.kind,
            "config": _entry(kinds[0], self.id, len(self.config)),
            "layers": [_entry(kinds[1], layer.sha256, len(layer.compressed))],
        }
        if self.annotations:
            about["annotations"] = dict(self.annotations)
        return json.dumps(about).encode()

    def archive(self, path: Path, name: str) -> Path:
        """Write what engines load, under a name with a tag."""
        config = self.id.removeprefix("sha256:") + ".json"
        listing = [{"Config": config, "RepoTags": [name], "Layers": ["layer.tar"]}]
        with tarfile.open(path, "w") as tar:
            add(tar, "manifest.json", json.dumps(listing).encode())
            add(tar, config, self.config)
            tar.add(self.layer.path, "layer.tar")
        return path


def layer(path: Path, fill: Fill, *, compressed: bool = False) -> Layer:
    """Make a layer at `path`."""
    with tarfile.open(path, "w") as tar:
        fill(tar)
    with path.open("rb") as file:
        hashed = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    packed = gzip.compress(path.read_bytes(), compresslevel=1, mtime=0) if compressed else b""
    return Layer(path, hashed, packed)


def image(of: Layer, **config: Any) -> Image:
    """An image of one layer. `config` is what an image's author may say: `Env`, `User`, …"""
    about = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["sh"], **config},
        "rootfs": {"type": "layers", "diff_ids": [of.digest]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "the test suite"}],
    }
    return Image(of, json.dumps(about).encode())


def add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    """Put a file of root's into a tar."""
    about = tarfile.TarInfo(name)
    about.size, about.mode = len(data), mode
    tar.addfile(about, io.BytesIO(data))


def digest(data: bytes) -> str:
    """By which a blob is known everywhere."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _entry(kind: str, of: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": of, "size": size}
