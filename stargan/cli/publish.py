"""Assembles what a Space needs in a folder, checks that the page starts from it alone and translates, and uploads it. Whoever
publishes is logged in by `hf auth login` or by the token in HF_TOKEN."""

from __future__ import annotations

import argparse
from pathlib import Path

from stargan.cli.arguments import model_name
from stargan.files import places

HELP = "put the page on the Hugging Face Hub as a Space"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "repository", metavar="USER/NAME", help="of the Space; one that was published like this is brought up to date"
    )
    parser.add_argument("--dry-run", action="store_true", help="write the folder, check it and print the plan, without the Hub")
    parser.add_argument("--model", metavar="NAME", help="shown first: the bundled model (default), or one that was trained here")
    parser.add_argument("--licence", metavar="TEXT", help="of that model's weights, such as 'CC BY 4.0'; needed where it says none")
    parser.add_argument("--private", action="store_true", help="where the Space is a new one: nobody else sees it")
    parser.add_argument("--out", metavar="DIR", help="the folder to assemble it in (default: runs/space/NAME)")
    parser.add_argument(
        "--check",
        choices=("fresh", "here", "none"),
        help="start the page in a fresh environment, for which several GB are downloaded and removed again, or in the one that is "
        "here, or not at all (default: fresh, with --dry-run here)",
    )


def run(options: argparse.Namespace) -> int:
    from stargan.zoo import hub, publish, trial

    repo = publish.repository(options.repository)
    how = options.check or ("here" if options.dry_run else "fresh")
    account = None if options.dry_run else hub.account(repo, options.private)
    folder = Path(options.out) if options.out is not None else places.runs() / "space" / repo.split("/")[1]
    space = publish.assemble(folder, model_name(options), options.licence)
    private = options.private if account is None else account.private
    new = "" if account is None else ", new" if account.held is None else ", brought up to date"
    print(f"Space {repo} ({'private' if private else 'public'}{new})")
    if how != "none":
        print("checking: installing its requirements.txt" if how == "fresh" else "checking: starting it", flush=True)
        print(f"the page was up after {trial.check(space, how):.1f} s, and translates")
    print(space.plan())
    if account is None:
        print("nothing was uploaded, as it is a dry run")
        return 0
    for path in sorted((account.held or frozenset()) - set(space.files)):
        print(f"     removed  {path}")
    print(f"publishing as {account.name}", flush=True)
    print(f"uploaded: {hub.upload(repo, space, options.private)}")
    return 0
