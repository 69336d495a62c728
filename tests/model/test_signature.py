"""Bundles that are signed, and where a key is named none that is not."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from genrepipe.core import assets
from tests.support import ask, run, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path


def make_key(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a pair of keys, and return the private one and the public one."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    pem, raw = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, raw, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with one bundle, which is signed, and the public key."""
    bundles = tmp_path / "bundles"
    shutil.copytree(assets.pretrained() / "lda-2d", bundles / "lda-2d")
    private, public = make_key(tmp_path, "key")
    done = run("models", "sign", "lda-2d", "--key", private, "--bundles", bundles)
    assert done.code == 0, done.err
    assert done.out.startswith("signed: lda-2d ")
    return bundles, public


def verify(bundles: Path, key: Path, **environment: str) -> Any:
    return run("models", "verify", "lda-2d", "--bundles", bundles, "--bundle-key", key, **environment)


def test_a_signed_bundle_is_taken_everywhere(signed: tuple[Path, Path], tmp_path: Path) -> None:
    bundles, public = signed
    assert verify(bundles, public).code == 0
    assert run("models", "verify", "lda-2d", "--bundles", bundles).code == 0  # without a key nothing is asked
    promote = ("models", "promote", "lda-2d", "--bundles", bundles, "--bundle-key", public)
    assert run(*promote, "--anyway", "a trial").code == 0
    source = write_csv(tmp_path / "s.csv", tracks(3))
    words = ("score", source, "--warehouse", tmp_path / "w.duckdb", "--bundles", bundles)
    done = run(*words, GENREPIPE_BUNDLE_KEY=str(public))
    assert done.code == 0, done.err
    assert ask(tmp_path / "w.duckdb", "SELECT DISTINCT model FROM predictions") == [{"model": "lda-2d"}]


@pytest.mark.parametrize("what", ["champion", "shadow"])
def test_where_a_key_is_named_no_other_bundle_scores(signed: tuple[Path, Path], tmp_path: Path, what: str) -> None:
    bundles, public = signed
    source = write_csv(tmp_path / "s.csv", tracks(3))
    models = ("--model", "lda-2d", "--shadow", "lda-3d") if what == "shadow" else ()  # what ships is not signed
    done = run(
        "score", source, "--warehouse", tmp_path / "w.duckdb", "--bundles", bundles, "--bundle-key", public, *models
    )
    assert done.code == 78
    assert "is not signed" in done.error
    assert not (tmp_path / "w.duckdb").exists()


def change_manifest(bundle: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps({**manifest, "summary": "Another."}))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (change_manifest, "is not a signature of this bundle"),
        (lambda bundle: (bundle / "bundle.json.sig").write_text("{}"), "is not a signature of this bundle"),
        (lambda bundle: (bundle / "bundle.json.sig").write_bytes(os.urandom(99)), "is not a signature of this bundle"),
        (lambda bundle: (bundle / "bundle.json.sig").write_text("[" * 100_000), "is not a signature of this bundle"),
        (lambda bundle: (bundle / "bundle.json.sig").unlink(), "is not signed"),
        (lambda bundle: (bundle / "golden.parquet").write_bytes(b"x"), "its sha256 differs"),
    ],
)
def test_what_was_changed_does_not_verify(signed: tuple[Path, Path], spoil: Any, says: str) -> None:
    bundles, public = signed
    spoil(bundles / "lda-2d")
    done = verify(bundles, public)
    assert (done.code, done.err.count("\n")) == (78, 1), done.err
    assert says in done.error


def test_another_key_does_not_verify(signed: tuple[Path, Path], tmp_path: Path) -> None:
    bundles, _ = signed
    private, public = make_key(tmp_path, "other")
    assert verify(bundles, public).code == 78
    assert "is not a public key" in verify(bundles, private).error
    assert "cannot be read" in verify(bundles, tmp_path / "none.pem").error
    refused = run("models", "sign", "lda-2d", "--key", public, "--bundles", bundles)
    assert (refused.code, "is not a private key" in refused.error) == (78, True)
    assert "openssl" in refused.error
