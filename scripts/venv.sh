# shellcheck shell=sh disable=SC2154
# Sourced by the other scripts: the checkout's own virtualenv, filled from a lock. Needs Python 3.11
# or newer and nothing else. Messages go to stderr; stdout stays empty.

venv=$root/.venv
stamp=$venv/.installed # "LOCK CHECKSUM" for each lock that is installed

say() {
  printf '%s\n' "$*" >&2
}

fail() {
  say "error: $*"
  exit 1
}

# The first Python that is new enough and can make a virtualenv, in $python.
find_python() {
  seen=
  for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      seen="$seen; $python is $version, too old"
    elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
      seen="$seen; $python ($version) lacks venv or ensurepip (Debian, Ubuntu: apt install python$version-venv)"
    else
      return 0
    fi
  done
  say "error: no Python 3.11 or newer with venv found${seen:-; none at all}"
  say "hint: install one, or name it: PYTHON=/path/to/python3 $0"
  return 1
}

checksum() {
  cksum <"$1"
}

installed() {
  grep -qsxF "$1 $(checksum "$root/requirements/$1.txt")" "$stamp" && "$venv/bin/python" -c '' 2>/dev/null
}

# Installs requirements/LOCK.txt where it is not installed yet. The development lock holds everything of
# the demo's, so a virtualenv that has it is never taken back to less.
ensure_lock() {
  lock=$1
  installed "$lock" && return 0
  mkdir -p "$venv" 2>/dev/null && [ -w "$venv" ] || fail "cannot write into $venv"
  if command -v flock >/dev/null; then # two at once: the second waits, and finds it done
    exec 9>"$venv/.lock"
    flock 9
    installed "$lock" && exec 9>&- && return 0
  fi
  grep -qs '^dev ' "$stamp" && lock=dev

  if ! "$venv/bin/python" -c '' 2>/dev/null; then
    find_python || exit 1
    say "making $venv with $python ($version)"
    "$python" -m venv --clear "$venv" >&2 || fail "cannot make $venv"
  elif ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    fail "$venv has a Python older than 3.11; remove it and run this again"
  elif ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then # made by another tool, or interrupted
    "$venv/bin/python" -m ensurepip >&2 || fail "there is no pip in $venv"
  fi
  say "installing requirements/$lock.txt (a minute the first time)"
  # PIP_USER: a pip that is set to install into the home directory would refuse to work here
  PIP_USER=0 "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    --require-hashes -r "$root/requirements/$lock.txt" >&2 || fail "pip could not install requirements/$lock.txt"
  {
    printf 'demo %s\n' "$(checksum "$root/requirements/demo.txt")"
    [ "$lock" = demo ] || printf '%s %s\n' "$lock" "$(checksum "$root/requirements/$lock.txt")"
  } >"$stamp"
  exec 9>&-
}

# The development environment, with the checkout itself installed in it.
ensure_dev() {
  ensure_lock dev
  made=$(checksum "$root/pyproject.toml")
  grep -qsxF "checkout $made" "$stamp" && return 0
  say "installing the checkout"
  PIP_USER=0 "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    --no-deps --no-build-isolation --editable "$root" >&2 || fail "pip could not install the checkout"
  printf 'checkout %s\n' "$made" >>"$stamp"
}

has_node() {
  command -v node >/dev/null && command -v npm >/dev/null
}

# The Supabase CLI, PostgREST and supabase-js, which some tests drive.
ensure_node() {
  node_stamp=$root/tests/node_modules/.installed
  [ "$(cat "$node_stamp" 2>/dev/null)" = "$(checksum "$root/tests/package-lock.json")" ] && return 0
  say "installing tests/package-lock.json"
  # `npm ci` starts from an empty folder
  (cd "$root/tests" && npm ci --no-audit --no-fund --loglevel=error >&2) || fail "npm ci failed in tests/"
  checksum "$root/tests/package-lock.json" >"$node_stamp"
}
