"""Where this workflow lies; not in the package, because the package can only be imported once that is known."""

import os
import tarfile
import tempfile
from pathlib import Path


def checkout(source):
    """Folder of this workflow; where Snakemake fetched it from a host, its files are laid out beside Snakemake's clone."""
    if hasattr(source, "__fspath__"):
        return Path(source)
    clone, commit = source.hosted_repo, source.hosted_repo.repo.commit(source.ref).hexsha
    folder = clone.repo_clone.with_name(f"{clone.repo_clone.name}-{commit}")
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary, tempfile.TemporaryFile() as archive:
            clone.repo.archive(archive, commit)
            archive.seek(0)
            tarfile.open(fileobj=archive).extractall(f"{temporary}/tree", filter="data")
            os.rename(f"{temporary}/tree", folder)
    return folder
