# Sourced by the other scripts: makes .venv with Python 3.11 or newer, and installs the package with the extras named.
#   install_environment ""            core only
#   install_environment dev,babyai    with extras
# PYTHON=/path/to/python chooses the interpreter.

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    echo "error: no Python 3.11 or newer found. Install one, or name it: PYTHON=/path/to/python bash $0" >&2
    return 1
}

install_environment() {
    local extras="$1" python stamp
    stamp=".venv/.installed-${extras:-core}"
    if [ ! -x .venv/bin/python ]; then
        python="$(find_python)" || exit 2
        echo "making .venv with $python"
        if ! "$python" -m venv .venv; then
            rm -rf .venv
            echo "error: $python cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv" >&2
            exit 2
        fi
    fi
    if [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
        echo "installing vla-train${extras:+ with $extras} (once; a few minutes)"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extras:+[$extras]}"
        touch "$stamp"
    fi
}
