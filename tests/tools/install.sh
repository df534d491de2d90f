# What ./test and ./bench both install. Read by them, from the root; not run by itself.

# A Python environment of exactly the packages in requirements.txt, made anew when that file changes.
tools() {
    local wanted=tests/tools/requirements.txt installed=.venv/requirements.txt
    if cmp -s "$wanted" "$installed" && .venv/bin/schemathesis --version; then
        return
    fi
    command -v python3 || debian_packages python3
    python3 -c 'import ensurepip, venv' || debian_packages python3-venv
    python3 -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement "$wanted"
    .venv/bin/schemathesis --version
    cp "$wanted" "$installed"
}

# Installs Debian packages where that is ours to do, and otherwise says what is missing.
debian_packages() {
    (($# > 0)) || return 0
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        give_up "install these (Debian's names), then run again: $*"
    fi
    apt-get update --quiet --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends "$@" </dev/null
}

give_up() {
    printf '%s\n' "$*" >&2
    exit 1
}
