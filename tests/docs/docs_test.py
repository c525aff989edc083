#!/usr/bin/env python3
"""Holds the Markdown files to the tree: every link inside the repository, every file, make target,
script and test that they name between backquotes is there, and docs/architecture.md names every
folder of sources. Run from the top of the tree, with the build folder whose tests may be named."""

import os
import re
import subprocess
import sys

FILES = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True,
                       text=True, check=False).stdout.split()
SOURCE = r"[\w/*.-]+\.(?:h|cc|py|sh|js|cmake|toml|yaml)"
# Names that stand for any, and files that only a user has.
PLACEHOLDER = re.compile(r"NAME|FILE|RUN|DIR|\*")


def slug(heading: str) -> str:
    heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def headings(path: str) -> set[str]:
    with open(path, encoding="utf-8") as file:
        return {slug(h) for h in re.findall(r"^#+\s+(.*)$", file.read(), flags=re.M)}


def wrong_links(path: str, text: str):
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, heading = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
        if not os.path.exists(target):
            yield f"links to {link}, which is not there"
        elif heading and target.endswith(".md") and heading not in headings(target):
            yield f"links to {link}, and there is no such heading"


def is_file(name: str) -> bool:
    return any(f == name or f.endswith("/" + name) for f in FILES)


def wrong_names(text: str, tests: set[str]):
    with open("Makefile", encoding="utf-8") as file:
        targets = set(re.findall(r"^([\w-]+):", file.read(), flags=re.M))
    for code in re.findall(r"`([^`\n]+)`", text):
        if re.fullmatch(SOURCE, code) and not PLACEHOLDER.search(code) and not is_file(code):
            yield f"names the file {code}"
        for target in re.findall(r"^make ([\w-]+)$", code):
            if target not in targets:
                yield f"names `make {target}`"
        for script in re.findall(r"\btools/\w+", code):
            if not os.path.exists(script):
                yield f"names {script}"
        for test in re.findall(r"ctest --preset \w+ -R (\w+)", code):
            if not any(test in t for t in tests):
                yield f"names the test {test}"


def main() -> int:
    if not FILES:
        print("docs: no git here, so nothing to check")
        return 77
    listed = subprocess.run(["ctest", "--test-dir", sys.argv[1], "-N"], capture_output=True, text=True, check=True).stdout
    tests = set(re.findall(r"^\s*Test\s+#\d+: (\S+)$", listed, flags=re.M))
    wrong = []
    for path in (f for f in FILES if f.endswith(".md") and os.path.exists(f)):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        wrong += [f"{path} {w}" for w in wrong_links(path, re.sub(r"```.*?```", "", text, flags=re.S))]
        # What the notebook and the changelog tell of may be gone.
        if path in ("docs/architecture.md", "CONTRIBUTING.md", "README.md", "docs/training.md"):
            wrong += [f"{path} {w}" for w in wrong_names(text, tests)]
    with open("docs/architecture.md", encoding="utf-8") as file:
        architecture = file.read()
    for folder in sorted({os.path.dirname(f) for f in FILES if f.startswith(("src/", "apps/")) and f.endswith((".cc", ".h", ".js"))}):
        if not re.search(rf"\b{re.escape(os.path.basename(folder))}\b", architecture):
            wrong.append(f"docs/architecture.md does not name the folder {folder}")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
