# Makes .venv and fills it, once; sourced by the scripts beside it. bash 3.2 (macOS) will do.
#
#   source scripts/_venv.sh
#   make_venv runtime     what Switchboard runs on: requirements.txt, and Switchboard itself
#   make_venv fanout      that, and the client of RabbitMQ: requirements-fanout.txt
#   make_venv pages       what it runs on, and what drives Chromium: requirements-pages.txt
#   make_venv dev         all of that, and what its tests and checks need: requirements-dev.txt
#
# PYTHON names the interpreter to use; without it a usual one is looked for.
# Afterwards the working directory is the root of the checkout and .venv/bin leads PATH. A stamp
# in .venv says what it was made from, so a second run only compares; a lock lets two runs share it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer is needed and none was found (Debian: apt install python3 python3-venv)"
}

# Says whether .venv works and was made here: its programs name their place.
healthy() {
    grep -qsF "$root/.venv" .venv/bin/activate &&
        .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# What .venv is filled from: the interpreter and the lists.
stamp_of() {
    .venv/bin/python - "$@" <<'PY'
import hashlib, pathlib, sys
filled_from = hashlib.sha256(sys.version.encode())
for name in sys.argv[1:]:
    filled_from.update(pathlib.Path(name).read_bytes())
print(filled_from.hexdigest())
PY
}

new_venv() {
    rm -rf .venv
    say "Making .venv with $("$python" --version) ..."
    if "$python" -m venv .venv >.venv.log 2>&1; then
        rm -f .venv.log
        return
    fi
    rm -rf .venv
    # Debian ships venv without the part that puts pip into it.
    local package
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if ! "$python" -c 'import ensurepip' 2>/dev/null && command -v apt-get >/dev/null 2>&1; then
        [ "$(id -u)" = 0 ] || die "Python cannot make a .venv here: run 'sudo apt install $package' and try again"
        say "Installing $package ..."
        apt_install "$package" || die "$package could not be installed; see the lines above"
        "$python" -m venv .venv >.venv.log 2>&1 && rm -f .venv.log && return
        rm -rf .venv
    fi
    cat .venv.log >&2
    die "Python cannot make a .venv here; its own words are above"
}

apt_install() {
    local log
    log=$(mktemp)
    if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# Runs a command that installs packages; no service that they bring is started by it.
without_services() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then # else somebody has decided already
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    "$@"
)

install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$@" ||
        die "pip could not install what is needed; its own words are above"
}

make_venv() {
    local kind=$1 lists
    case $kind in
        runtime) lists=requirements.txt ;;
        fanout) lists="requirements.txt requirements-fanout.txt" ;;
        pages) lists="requirements.txt requirements-pages.txt" ;;
        dev) lists="requirements.txt requirements-fanout.txt requirements-pages.txt requirements-dev.txt" ;;
        *) die "make_venv: runtime, fanout, pages or dev, not '$kind'" ;;
    esac
    python=$(find_python)
    # The lock belongs to the open file 9: it lasts until we close it, and ends with us.
    exec 9>.venv.lock
    if ! "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null; then
        say "Waiting for another run that fills .venv ..."
        "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' || die "cannot lock .venv.lock"
    fi
    healthy || new_venv
    # shellcheck disable=SC2086  # names without spaces
    stamp=$(stamp_of $lists pyproject.toml)
    if [ "$(cat ".venv/stamp-$kind" 2>/dev/null)" != "$stamp" ]; then
        fill_venv "$kind"
        printf '%s\n' "$stamp" >".venv/stamp-$kind"
        say "Done: .venv is ready."
    fi
    exec 9>&-
    export PATH="$root/.venv/bin:$PATH" VIRTUAL_ENV="$root/.venv"
}

fill_venv() {
    local list=requirements-$1.txt
    if [ "$1" = runtime ]; then list=requirements.txt; fi
    say "Installing $list ..."
    install -r "$list"
    say "Installing switchboard ..."
    install --no-deps --editable .
}
