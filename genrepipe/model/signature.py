"""Signatures of bundles, in the format of OpenSSF model signing.

The manifest names the sha256 of every other file of its bundle, so it is the manifest that is signed. Keys are PEM files of
elliptic curves (P-256, P-384 or P-521).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from genrepipe.core.errors import BundleBroken, ConfigurationError, StorageError

MANIFEST, SIGNATURE = "bundle.json", "bundle.json.sig"
MAKE = "Make a pair: openssl ecparam -name prime256v1 -genkey -noout -out private.pem; openssl ec -in private.pem -pubout -out public.pem"
SIGN = "Sign it: genrepipe models sign NAME --key private.pem"


def sign(folder: Path, key: Path) -> Path:
    """Sign the bundle of a folder with a private key, and return the signature's path.

    Raises
    ------
    ConfigurationError
        The key is no private key, or the extra is not installed.
    StorageError
        The key cannot be read, or the signature cannot be written.
    """
    signing, _ = _library()
    _read(key, "private")
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=key)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{key} is not a private key of an elliptic curve in PEM", MAKE) from error
    try:
        signer.sign(folder / MANIFEST, folder / SIGNATURE)
    except OSError as error:
        raise StorageError(
            f"{folder / SIGNATURE} cannot be written: {error.strerror}", "Check its permissions"
        ) from error
    return folder / SIGNATURE


def verify(folder: Path, manifest: bytes, key: Path) -> None:
    """Check that the manifest of a bundle, as it was read, was signed with the private key of this public one.

    Raises
    ------
    BundleBroken
        There is no signature, or it is not that of this manifest and this key.
    ConfigurationError
        The key is no public key, or the extra is not installed.
    StorageError
        The key or the signature cannot be read.
    """
    _, verifying = _library()
    _read(key, "public")
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{key} is not a public key of an elliptic curve in PEM", MAKE) from error
    if not (folder / SIGNATURE).is_file():
        raise BundleBroken(f"{folder} is not signed, and {key} is to verify it", SIGN)
    with tempfile.TemporaryDirectory() as place:  # what was read, whatever the file says by now
        copy = Path(place, MANIFEST)
        copy.write_bytes(manifest)
        try:
            verifier.verify(copy, folder / SIGNATURE)
        except OSError as error:
            raise StorageError(
                f"{folder / SIGNATURE} cannot be read: {error.strerror}", "Check its permissions"
            ) from error
        except Exception as error:
            # Whatever a hostile signature makes of the parsers: it does not verify.
            raise BundleBroken(
                f"{folder}: {SIGNATURE} is not a signature of this bundle by the key of {key}", SIGN
            ) from error


def _library() -> tuple[Any, Any]:
    try:
        from model_signing import signing, verifying  # noqa: PLC0415  the extra
    except ImportError as error:
        raise ConfigurationError(
            f"Signatures need {error.name}, which is not installed", "pip install 'genrepipe[signing]'"
        ) from error
    return signing, verifying


def _read(key: Path, kind: str) -> None:
    try:
        key.read_bytes()
    except OSError as error:
        raise StorageError(f"The {kind} key {key} cannot be read: {error.strerror}", "Check the path") from error
