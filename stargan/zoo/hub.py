"""A Space or a model and the Hub: who may publish it, and its upload."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stargan.files import checkpoint
from stargan.zoo import HUB_FILE, ZooError, load
from stargan.zoo.publish import PublishError, Space, tail
from stargan.zoo.push import Parcel, difference

if TYPE_CHECKING:
    from huggingface_hub import HfApi

OURS = "stargan/networks.py"  # what every Space has that was published like this


@dataclass(frozen=True)
class Account:
    """Who publishes. held: the files of the repository as it is on the Hub; None where there is none yet."""

    name: str
    held: frozenset[str] | None
    private: bool


def account(repo: str, private: bool = False) -> Account:
    """Who is logged in, and what is on the Hub under that name now. PublishError where nobody may publish there: without login,
    network or permission, and for a repository that is another app."""
    from huggingface_hub import HfApi, errors

    api = HfApi()
    page = f"{api.endpoint}/spaces/{repo}"
    with _explained(api, repo):
        name = _login(api, repo)
        try:
            info = api.space_info(repo)
        except errors.RepositoryNotFoundError:
            return Account(name, None, private)
    if info.sdk != "gradio":
        raise PublishError(f"{page} is a {info.sdk or 'nameless'} Space, not one for Gradio; give another name, or delete it there")
    held = frozenset(file.rfilename for file in info.siblings or ())
    if held - {".gitattributes", "README.md"} and OURS not in held:
        raise PublishError(f"{page} is another app, which this would replace; give another name, or delete it there")
    if private and not info.private:
        raise PublishError(f"{page} is public; make it private in its settings there, or leave --private out")
    return Account(name, held, bool(info.private))


def owner(repo: str, private: bool = False) -> Account:
    """As `account`, for a model: what is there must be empty, or a model."""
    from huggingface_hub import HfApi, errors

    api = HfApi()
    page = f"{api.endpoint}/{repo}"
    with _explained(api, repo):
        name = _login(api, repo)
        try:
            info = api.model_info(repo)
        except errors.RepositoryNotFoundError:
            return Account(name, None, private)
    held = frozenset(file.rfilename for file in info.siblings or ())
    if held - {".gitattributes", "README.md"} and HUB_FILE not in held:
        raise PublishError(f"{page} holds something else, beside which this would lie; give another name, or delete it there")
    if private and not info.private:
        raise PublishError(f"{page} is public; make it private in its settings there, or leave --private out")
    return Account(name, held, bool(info.private))


def push(repo: str, parcel: Parcel, private: bool = False) -> str:
    """Uploads a model, loads it back by `hf:user/name` at that very commit, and compares the two; returns its address.
    PublishError otherwise."""
    from huggingface_hub import HfApi

    api = HfApi()
    with _explained(api, repo):
        api.create_repo(repo, repo_type="model", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo,
            repo_type="model",
            folder_path=parcel.folder,
            commit_message=f"The model {parcel.model.name}",
            delete_patterns=[*parcel.ours],
        )
    try:
        back = load(f"hf:{repo}@{commit.oid}")
    except (ZooError, checkpoint.CheckpointError) as error:
        raise PublishError(f"{repo} is uploaded, but does not load back: {error}; call this again to be sure of it") from None
    if differing := difference(parcel.model, back):
        raise PublishError(
            f"{repo} is uploaded, but what loads back has another {differing}; call this again, and use it once it fits"
        )
    return f"{api.endpoint}/{repo}"


def _login(api: HfApi, repo: str) -> str:
    """Who is logged in; PublishError where they may not publish under that name."""
    me = api.whoami()
    allowed = [me["name"], *(org["name"] for org in me.get("orgs", []))]
    if repo.split("/")[0].lower() not in [name.lower() for name in allowed]:
        raise PublishError(f"{me['name']} is logged in, who cannot publish {repo}; start the name with {' or '.join(allowed)}")
    # Before minutes of work; finer rights show at the upload alone.
    if ((me.get("auth") or {}).get("accessToken") or {}).get("role") == "read":
        raise PublishError(f"this login may only read, not write to {repo}; log in with a token that has write permission there")
    return me["name"]


def upload(repo: str, space: Space, private: bool = False) -> str:
    """Uploads the folder, removing from the Space what is not in it; returns the Space's address. PublishError otherwise."""
    from huggingface_hub import HfApi

    api = HfApi()
    with _explained(api, repo):
        api.create_repo(repo, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            repo_type="space",
            folder_path=space.folder,
            commit_message=f"The page with {space.model}",
            delete_patterns="*",
        )
    return f"{api.endpoint}/spaces/{repo}"


@contextlib.contextmanager
def _explained(api: HfApi, repo: str) -> Iterator[None]:
    """Turns what the Hub's client raises into sentences."""
    from huggingface_hub import errors

    try:
        yield
    except PublishError:
        raise
    except errors.LocalTokenNotFoundError:
        raise PublishError("nobody is logged in here; run `hf auth login`, or set HF_TOKEN to a token that may write") from None
    except errors.OfflineModeIsEnabled:
        raise PublishError("HF_HUB_OFFLINE keeps this machine away from the Hub; unset it and try again") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        sentences = {
            401: "the Hub does not accept this login; run `hf auth login --force` with a new token, or put one into HF_TOKEN",
            402: f"the Hub wants a subscription for {repo}: {error.server_message or 'payment required'}; see its page on Spaces",
            403: f"this login may not write to {repo}; log in with a token that has write permission there",
            429: "the Hub has had too many requests of this account; try again in some minutes",
        }
        said = f"the Hub answered {status} ({error.server_message or 'no reason given'}); try again later"
        raise PublishError(sentences.get(status, said)) from None
    except Exception as error:  # The Hub's client is built on other HTTP libraries in other versions.
        unreached = any(kind.__name__ in ("TransportError", "ConnectionError") for kind in type(error).__mro__)
        if unreached:
            raise PublishError(f"{api.endpoint} cannot be reached; connect to the network and try again") from None
        raise PublishError(f"the upload to {api.endpoint} failed ({tail(str(error))}); try again, what is there is kept") from None
