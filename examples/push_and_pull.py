"""An adapter to the Hub and back. Needs a token with write access: `hf auth login`, or HF_TOKEN.

python examples/push_and_pull.py my-campaign --repo my-lab/phaseno-my-campaign
"""

from __future__ import annotations

import argparse

from phaseno_peft import list_versions, load_adapter, pull_adapter, push_adapter


def main() -> None:
    """Push with a tag, list what is there, pull by the commit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapter", help="a name in your library, or of one that comes with the package: ohio-frac")
    parser.add_argument("--repo", required=True, help="organisation/name")
    parser.add_argument("--tag", default="v1")
    parser.add_argument("--backbone")
    asked = parser.parse_args()

    pushed = push_adapter(asked.adapter, asked.repo, tag=asked.tag)
    print(f"pushed: {pushed.url}")
    for version in list_versions(asked.repo):
        print(f"{version.name}: {version.commit}")

    # A tag can be moved, a commit cannot: pin what a result depends on.
    pinned = f"{asked.repo}@{pushed.commit}"
    folder = pull_adapter(pinned, as_name=f"{asked.adapter}-pulled")
    print(f"pulled: {folder}")
    picker = load_adapter(folder.name, backbone=asked.backbone)  # from here on without any network
    print(f"ready: {picker.active_adapter}")


if __name__ == "__main__":
    main()
