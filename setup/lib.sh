# What the scripts in this folder share. Sourced, not run.
# shellcheck shell=bash

# die WHAT [WAY-OUT…]: says what is wrong and, one line each, what to do about it; ends the script.
die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    shift
    for line in "$@"; do printf '  → %s\n' "$line" >&2; done
    exit 1
}

# cache_dir: the folder for everything heavy, the same one the binaries use.
cache_dir() {
    if [ -n "${LANDMARKS_CACHE:-}" ]; then
        printf '%s' "$LANDMARKS_CACHE"
    elif [ -n "${XDG_CACHE_HOME:-}" ]; then
        printf '%s/landmarks' "$XDG_CACHE_HOME"
    elif [ -n "${HOME:-}" ]; then
        printf '%s/.cache/landmarks' "$HOME"
    else
        die "no cache folder: LANDMARKS_CACHE, XDG_CACHE_HOME and HOME are all unset" \
            "set LANDMARKS_CACHE to a folder with 2 GB free"
    fi
}

# packages_hint PACKAGE…: how to install Debian packages, as this user would have to.
packages_hint() {
    local sudo=
    [ "$(id -u)" = 0 ] || sudo='sudo '
    printf '%sapt-get update && %sapt-get install -y %s' "$sudo" "$sudo" "$*"
}
