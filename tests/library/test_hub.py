"""Adapters on the Hub, end to end: the real client against a stand-in that this test starts."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from phaseno_peft import load_adapter
from phaseno_peft.errors import AdapterError, HubError
from phaseno_peft.library import (
    adapter_info,
    find_adapter,
    library_folder,
    list_adapters,
    list_versions,
    pull_adapter,
    push_adapter,
    read_adapter,
    verify_adapters,
)
from phaseno_peft.library.store import read_origin
from tests.library.machines import Machine, edit_evaluation
from tests.library.standin_hub import Repository, StandInHub

REPO = "lab/phaseno-tiny-ohio"


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_a_push_is_one_commit_with_adapter_contract_card_scores_and_figures(
    hub: StandInHub, machine: Machine, tiny: Path
) -> None:
    machine.own(tiny, "tiny-ohio")
    made = push_adapter("tiny-ohio", REPO, tag="v1", share="all")
    there = hub.repositories[REPO]
    assert there.private
    assert len(hub.asked("POST /api/models/lab/phaseno-tiny-ohio/commit/")) == 1
    assert there.branches["main"] == there.tags["v1"] == made.commit
    assert made.url == f"{hub.url}/{REPO}"
    figures = {f"figures/{path.name}" for path in (tiny / "figures").iterdir()}
    assert set(there.files) - {".gitattributes"} == figures | {
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
        "card.json",
        "evaluation.json",
        "manifest.json",
    }
    for file in ("adapter_config.json", "adapter_model.safetensors", "evaluation.json"):
        assert there.files[file] == (tiny / file).read_bytes()


def test_the_card_on_the_hub_is_read_by_the_hubs_own_parser(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, share="all", public=True)
    card = ModelCard(hub.repositories[REPO].files["README.md"].decode())
    assert card.data.library_name == "phaseno-peft"
    assert card.data.base_model == "small-backbone"
    assert {"phaseno-peft", "peft", "seismology"} <= set(card.data.tags)
    summary = json.loads((tiny / "evaluation.json").read_text())["scores"]["adapter"]["summary"]
    results = {result.metric_name: result.metric_value for result in card.data.eval_results}
    for phase in ("P", "S"):
        for tolerance, found in summary[phase].items():
            assert results[f"{phase} F1 within {tolerance} s"] == pytest.approx(found["f1"], abs=5e-5)
    assert f'load_adapter("{REPO}")' in card.text
    assert 'load_adapter("tiny-ohio")' not in card.text


def test_a_second_machine_pulls_what_was_pushed_and_picks_alike(
    hub: StandInHub, machine: Machine, tiny: Path, small_backbone: Path
) -> None:
    machine.own(tiny, "tiny-ohio")
    made = push_adapter("tiny-ohio", REPO, tag="v1", share="all", public=True)
    machine.use("second", token=None)
    assert list_adapters() == []
    folder = pull_adapter(f"{REPO}@v1")
    assert folder == library_folder() / "tiny-ohio"
    assert list_adapters() == ["tiny-ohio"]
    origin = read_origin(folder)
    assert origin is not None
    assert (origin.repository, origin.revision, origin.commit) == (REPO, "v1", made.commit)
    pulled, own = read_adapter("tiny-ohio"), read_adapter(tiny)
    assert pulled.contract == own.contract
    assert all((pulled.tensors[key] == tensor).all() for key, tensor in own.tensors.items())
    assert [v.problems for v in verify_adapters()] == [()]
    assert load_adapter("tiny-ohio", backbone=small_backbone).active_adapter == "tiny-ohio"
    asked = len(hub.requests)
    assert pull_adapter(f"{REPO}@v1") == folder  # there already: asked for, not fetched
    assert not [line for line in hub.requests[asked:] if "resolve" in line]


def test_an_adapter_is_loaded_straight_from_the_hub_and_from_the_default_organisation(
    hub: StandInHub, machine: Machine, tiny: Path, small_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, tag="v1", share="all", public=True)
    machine.use("second")
    for name in (REPO, f"hf://{REPO}", f"{REPO}@v1"):
        assert load_adapter(name, backbone=small_backbone).active_adapter == "tiny-ohio"
    asked = len(hub.requests)
    with pytest.raises(AdapterError, match=r"PHASENO_PEFT_HUB_ORG is set"):
        find_adapter("tiny-ohio")
    assert len(hub.requests) == asked  # a bare name does not reach the network
    monkeypatch.setenv("PHASENO_PEFT_HUB_ORG", "lab")
    assert find_adapter("tiny-ohio").place == "hub"
    assert str(find_adapter("tiny-ohio@v1").hub) == f"{REPO}@v1"
    assert list_adapters(remote=True) == list_adapters(remote="lab") == [REPO]
    assert list_adapters() == []  # looking does not install


def test_versions_are_tags_and_commits_are_pins(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    folder = machine.own(tiny, "tiny-ohio")
    first = push_adapter("tiny-ohio", REPO, tag="v1", share="all", public=True)
    edit_evaluation(folder, "second version")
    second = push_adapter("tiny-ohio", REPO, tag="v2", share="all", public=True)
    assert first.commit != second.commit
    found = {version.name: version.commit for version in list_versions(REPO)}
    assert found == {"v1": first.commit, "v2": second.commit, "main": second.commit}
    assert list_versions("tiny-ohio") == list_versions(REPO)
    machine.use("second")
    for revision, commit in (("v1", first.commit), (first.commit, first.commit), ("main", second.commit)):
        assert adapter_info(f"{REPO}@{revision}").folder.name == commit
    with pytest.raises(HubError, match=r"no revision 'v3'.*adapters versions"):
        pull_adapter(f"{REPO}@v3")


def test_a_moved_tag_is_refused_until_the_user_takes_it(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    folder = machine.own(tiny, "tiny-ohio")
    first = push_adapter("tiny-ohio", REPO, tag="v1", share="all", public=True)
    machine.use("second")
    pull_adapter(f"{REPO}@v1")
    machine.use("first")
    edit_evaluation(folder, "another one under the old name")
    second = push_adapter("tiny-ohio", REPO, share="all", public=True)
    hub.repositories[REPO].tags["v1"] = second.commit
    machine.use("second")
    for use in (pull_adapter, read_adapter):
        with pytest.raises(HubError, match=rf"stood for commit {first.commit[:12]}.*{second.commit[:12]}"):
            use(f"{REPO}@v1")
    assert read_adapter(f"{REPO}@{first.commit}").name == "tiny-ohio"
    pull_adapter(f"{REPO}@v1", overwrite=True)
    origin = read_origin(library_folder() / "tiny-ohio")
    assert origin is not None
    assert origin.commit == second.commit
    machine.use("first")
    edit_evaluation(folder, "a third one")
    with pytest.raises(HubError, match="tag v1 stands for commit"):  # and a push does not move one either
        push_adapter("tiny-ohio", REPO, tag="v1", share="all", public=True)


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json", "evaluation.json", "README.md"])
def test_a_file_altered_on_the_way_to_the_same_size_is_caught(
    hub: StandInHub, machine: Machine, tiny: Path, file: str
) -> None:
    machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, share="all", public=True)
    good = hub.repositories[REPO].files[file]
    hub.altered[file] = good[:-20] + bytes([good[-20] ^ 1]) + good[-19:]
    machine.use("second")
    for use in (pull_adapter, read_adapter):
        with pytest.raises(HubError, match=rf"{file}: the SHA-256 is .* manifest.json says .* was removed"):
            use(REPO)
    assert list_adapters() == []
    assert not library_folder().exists()
    hub.altered.clear()
    assert pull_adapter(REPO).is_dir()  # the bad copy does not stay in the cache


def test_a_file_altered_in_the_cache_is_caught(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, share="all", public=True)
    machine.use("second")
    weights = read_adapter(REPO).folder / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.resolve().write_bytes(content)
    with pytest.raises(HubError, match="SHA-256"):
        read_adapter(REPO)
    assert read_adapter(REPO).name == "tiny-ohio"


def test_size_and_kind_are_checked_in_the_listing_before_anything_is_downloaded(
    hub: StandInHub, machine: Machine, tiny: Path
) -> None:
    machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, share="all", public=True)
    machine.use("second")
    hub.announced_sizes["adapter_model.safetensors"] = 10**12
    with pytest.raises(HubError, match=r"adapter_model.safetensors has 1000000000000 bytes, more than .* Nothing was"):
        pull_adapter(REPO)
    hub.announced_sizes.clear()
    pickled = Repository()
    pickled.commit({"adapter_config.json": b"{}", "adapter_model.bin": b"\x80\x04.", "manifest.json": b"{}"})
    hub.repositories["lab/pickled"] = pickled
    with pytest.raises(HubError, match=r"has no adapter_model\.safetensors"):
        pull_adapter("lab/pickled")
    hub.repositories[REPO].commit({k: v for k, v in hub.repositories[REPO].files.items() if k != "manifest.json"})
    with pytest.raises(HubError, match=r"has no manifest\.json"):
        pull_adapter(REPO)
    assert not hub.sizes_sent


def test_files_that_are_none_of_ours_are_not_downloaded(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, share="all", public=True)
    hub.repositories[REPO].commit(hub.repositories[REPO].files | {"setup.py": b"evil()", "adapter_model.bin": b"x"})
    machine.use("second")
    folder = pull_adapter(REPO)
    assert not {"setup.py", "adapter_model.bin"} & {path.name for path in folder.rglob("*")}
    assert not {"setup.py", "adapter_model.bin"} & set(hub.sizes_sent)


def test_a_warm_cache_works_offline_and_a_cold_one_says_so(
    hub: StandInHub, machine: Machine, tiny: Path, small_backbone: Path
) -> None:
    machine.own(tiny, "tiny-ohio")
    made = push_adapter("tiny-ohio", REPO, tag="v1", share="all", public=True)
    machine.use("rig")
    read_adapter(f"{REPO}@v1")
    machine.use("rig", offline=True, token=None)
    asked = len(hub.requests)
    for name in (f"{REPO}@v1", f"{REPO}@{made.commit}"):
        assert load_adapter(name, backbone=small_backbone).active_adapter == "tiny-ohio"
    assert pull_adapter(f"{REPO}@v1").is_dir()
    with pytest.raises(HubError, match=r"cannot be reached and the cache has no whole copy.*HF_HUB_OFFLINE"):
        read_adapter(REPO)  # main was never fetched there
    machine.use("rig", offline=True)
    with pytest.raises(HubError, match="cannot be reached"):
        push_adapter("tiny-ohio", REPO, share="all", public=True)
    assert len(hub.requests) == asked


def test_a_pinned_commit_in_the_cache_needs_no_request(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    machine.own(tiny, "tiny-ohio")
    made = push_adapter("tiny-ohio", REPO, share="all", public=True)
    machine.use("second")
    read_adapter(f"{REPO}@{made.commit}")
    asked = len(hub.requests)
    read_adapter(f"{REPO}@{made.commit}")
    assert len(hub.requests) == asked


def test_a_stale_cache_is_renewed_online_and_used_offline(
    hub: StandInHub, machine: Machine, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = machine.own(tiny, "tiny-ohio")
    first = push_adapter("tiny-ohio", REPO, share="all", public=True)
    machine.use("second")
    assert adapter_info(REPO).folder.name == first.commit
    machine.use("first")
    edit_evaluation(folder, "newer")
    second = push_adapter("tiny-ohio", REPO, share="all", public=True)
    machine.use("second", offline=True)
    assert adapter_info(REPO).folder.name == first.commit
    machine.use("second")
    hub.refuse["GET /api/models/"] = 503
    assert adapter_info(REPO).folder.name == first.commit
    assert "looking into the cache" in caplog.text
    hub.refuse.clear()
    assert adapter_info(REPO).folder.name == second.commit


def test_a_slow_hub_is_waited_for(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, share="all", public=True)
    machine.use("second")
    hub.pause_s = 0.01
    assert pull_adapter(REPO).is_dir()


def test_an_unreachable_hub_is_one_sentence(
    hub: StandInHub, machine: Machine, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=f"{REPO}: the Hub cannot be reached and the cache has no whole copy"):
        pull_adapter(REPO)
    machine.own(tiny, "tiny-ohio")
    with pytest.raises(HubError, match="the connection failed"):
        push_adapter("tiny-ohio", REPO, share="all", public=True)


def test_a_hub_that_dies_in_a_file_leaves_nothing_and_the_next_pull_goes_on(
    hub: StandInHub, machine: Machine, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, share="all", public=True)
    machine.use("second")
    hub.die_after_bytes = 2000
    with pytest.raises(HubError, match="the connection failed"):
        pull_adapter(REPO)
    assert not library_folder().exists() or everything(library_folder()) == []
    machine.use("second", offline=True)
    with pytest.raises(HubError, match="no whole copy"):  # a part of a snapshot is no snapshot
        read_adapter(REPO)
    machine.use("second")
    hub.die_after_bytes = None
    assert pull_adapter(REPO).is_dir()
    assert verify_adapters()[0].problems == ()


def test_a_push_that_broke_off_is_finished_by_the_same_push(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    machine.own(tiny, "tiny-ohio")
    hub.refuse["POST /commit/"] = 500
    with pytest.raises(HubError, match="answers 500"):
        push_adapter("tiny-ohio", REPO, tag="v1", share="all", public=True)
    assert len(hub.repositories[REPO].commits) == 1  # made, and still as empty as it was
    hub.refuse = {"POST /tag/": 500}
    with pytest.raises(HubError, match="answers 500"):
        push_adapter("tiny-ohio", REPO, tag="v1", share="all", public=True)
    hub.refuse.clear()
    made = push_adapter("tiny-ohio", REPO, tag="v1", share="all", public=True)
    assert not made.is_new_commit
    assert hub.repositories[REPO].tags == {"v1": made.commit}
    assert len(hub.repositories[REPO].commits) == 2


def test_a_newer_commit_is_not_overwritten_by_accident(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    mine = machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, share="all", public=True)
    machine.use("colleague")
    theirs = pull_adapter(REPO)
    edit_evaluation(theirs, "theirs")
    newer = push_adapter("tiny-ohio", REPO, share="all", public=True)
    assert newer.is_new_commit  # it descends from what is there
    machine.use("first")
    edit_evaluation(mine, "mine")
    with pytest.raises(HubError, match=rf"is at commit {newer.commit[:12]}, newer than .*--overwrite"):
        push_adapter("tiny-ohio", REPO, share="all", public=True)
    hub.before_commit = lambda: hub.repositories[REPO].commit(hub.repositories[REPO].files | {"x.txt": b"x"})
    with pytest.raises(HubError, match="someone else pushed meanwhile"):
        push_adapter("tiny-ohio", REPO, overwrite=True, share="all", public=True)
    hub.before_commit = None
    push_adapter("tiny-ohio", REPO, overwrite=True, share="all", public=True)
    there = hub.repositories[REPO].files
    assert b'"note": "mine"' in there["evaluation.json"]
    assert there["x.txt"] == b"x"  # what is none of ours stays


def test_names_that_are_taken_are_not_written_over(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    machine.own(tiny, "tiny-ohio")
    hub.repositories["lab/other"] = Repository()
    hub.repositories["lab/other"].commit({"pytorch_model.bin": b"x", "config.json": b"{}"})
    with pytest.raises(HubError, match=r"holds something else than an adapter.*config\.json"):
        push_adapter("tiny-ohio", "lab/other", overwrite=True, share="all", public=True)
    push_adapter("tiny-ohio", REPO, share="all", public=True)
    other = machine.own(tiny, "other-ohio")
    edit_evaluation(other, "other")
    with pytest.raises(HubError, match="exists already, at commit"):
        push_adapter("other-ohio", REPO, share="all", public=True)
    push_adapter("tiny-ohio", "lab/copy", share="all", public=True)
    machine.use("second")
    pull_adapter(REPO)
    with pytest.raises(AdapterError, match=r"is lab/phaseno-tiny-ohio at commit .*--name"):
        pull_adapter("lab/copy")
    assert pull_adapter("lab/copy", as_name="copy-of-it").name == "copy-of-it"
    push_adapter("copy-of-it", "lab/copy-of-copy", share="all", public=True)
    assert 'load_adapter("lab/copy-of-copy")' in hub.repositories["lab/copy-of-copy"].files["README.md"].decode()
    assert list_adapters() == ["copy-of-it", "tiny-ohio"]


def test_missing_rights_are_told_apart(hub: StandInHub, machine: Machine, tiny: Path) -> None:
    folder = machine.own(tiny, "tiny-ohio")
    push_adapter("tiny-ohio", REPO, share="all")
    edit_evaluation(folder, "next")
    machine.use(token=None)
    with pytest.raises(HubError, match=r"no token for the Hub.*hf auth login"):
        push_adapter("tiny-ohio", REPO, share="all")
    machine.use(token="reader")
    with pytest.raises(HubError, match="refuses this to the token in use"):
        push_adapter("tiny-ohio", REPO, share="all")
    machine.use(token="expired")
    with pytest.raises(HubError, match="does not accept the token"):
        push_adapter("tiny-ohio", REPO, share="all")
    machine.use()
    with pytest.raises(HubError, match="refuses this to the token in use"):
        push_adapter("tiny-ohio", "somebody/phaseno-tiny-ohio")
    machine.use("second", token=None)
    with pytest.raises(HubError, match="shows no such repository to someone without a token"):
        pull_adapter(REPO)  # private
    with pytest.raises(HubError, match="not the name of a repository"):
        pull_adapter("nonsense")
    assert len(hub.repositories[REPO].commits) == 2


def test_an_adapter_that_was_never_judged_or_is_altered_is_not_pushed(
    hub: StandInHub, machine: Machine, tiny: Path
) -> None:
    folder = machine.own(tiny, "tiny-ohio")
    (folder / "manifest.json").unlink()
    (folder / "evaluation.json").rename(folder / "kept.json")
    with pytest.raises(AdapterError, match=r"no evaluation\.json.*--force"):
        push_adapter("tiny-ohio", REPO, share="all", public=True)
    assert not hub.requests
    push_adapter("tiny-ohio", REPO, force=True, share="all", public=True)
    assert "model-index" not in hub.repositories[REPO].files["README.md"].decode()
    assert "kept.json" not in hub.repositories[REPO].files
    second = machine.own(tiny, "second-ohio")
    (second / "README.md").write_text("# My words\n")  # the card is for people
    push_adapter("second-ohio", "lab/second", share="all", public=True)
    assert b"base_model" in hub.repositories["lab/second"].files["README.md"]
    assert b"# My words" in hub.repositories["lab/second"].files["README.md"]
    (second / "evaluation.json").write_text("{}")
    with pytest.raises(AdapterError, match="altered after it was written"):
        push_adapter("second-ohio", "lab/third", share="all", public=True)
    assert "lab/third" not in hub.repositories


def test_a_folder_of_that_name_is_not_taken_for_an_organisation(
    hub: StandInHub, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AdapterError, match="For the Hub write hf://lab/phaseno-tiny-ohio"):
        find_adapter(REPO)
    assert not hub.requests
    with pytest.raises(HubError, match="no such repository"):
        find_adapter(f"hf://{REPO}")


@pytest.mark.network
def test_push_and_pull_on_the_real_hub(machine: Machine, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs a token that may write: PHASENO_PEFT_TEST_HUB_TOKEN, and PHASENO_PEFT_TEST_HUB_ORG to write to."""
    token, organisation = (os.environ.get(f"PHASENO_PEFT_TEST_HUB_{x}") for x in ("TOKEN", "ORG"))
    if not token or not organisation:
        pytest.skip("needs PHASENO_PEFT_TEST_HUB_TOKEN and PHASENO_PEFT_TEST_HUB_ORG, which are not set")
    from huggingface_hub import HfApi

    machine.use(token=token)
    machine.own(tiny, "tiny-ohio")
    repository = f"{organisation}/phaseno-peft-test-{os.getpid()}"
    try:
        made = push_adapter("tiny-ohio", repository, tag="v1")
        machine.use("second", token=token)
        pulled = pull_adapter(f"{repository}@v1")
        assert read_adapter("tiny-ohio").contract == read_adapter(tiny).contract
        assert {v.name: v.commit for v in list_versions(repository)}["v1"] == made.commit
        shutil.rmtree(pulled)
        machine.use("second", token=token, offline=True)
        assert read_adapter(f"{repository}@v1").name == "tiny-ohio"
    finally:
        machine.use(token=token)
        HfApi().delete_repo(repository, missing_ok=True)
