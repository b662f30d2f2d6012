# Make the virtual environment, once; sourced by ./demo and ./test.
# On a fresh Debian machine python3 comes without venv: then it is installed.
python=${PYTHON:-python3}
venv=${DOSECALC_VENV:-$PWD/.venv}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "dosecalc needs Python 3.11 or newer; $python is $("$python" -V). Set PYTHON." >&2
    exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Installing python3-venv ..."
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get update -qq && $sudo apt-get install -y -qq python3-venv
fi
stamp="$venv/.dosecalc-$(cksum <pyproject.toml | cut -d' ' -f1)"
if [ ! -e "$stamp" ]; then
    echo "Setting up $venv (once) ..."
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
    touch "$stamp"
fi
venv="$venv/bin"
