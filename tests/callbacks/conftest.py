import sys

import pytest

from tests.wandb_files import end_runs


@pytest.fixture(autouse=True)
def in_own_folder_without_account(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["irec"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    end_runs()
