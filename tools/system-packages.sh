#!/usr/bin/env bash
# system-packages.sh COMMAND...: installs the Debian packages of the commands that are missing where it may. Otherwise
# it prints the line to type and ends well: the tests that need them skip and say so.
set -uo pipefail
source "$(dirname "$0")/apt.sh"

missing=()
for command in "$@"; do
    command -v "$command" >/dev/null && continue
    if [ "$command" = chromium ]; then
        command -v google-chrome >/dev/null || command -v chromium-browser >/dev/null && continue
        # Ubuntu's chromium is a snap, and its package does nothing where snapd does not run.
        if grep -qs '^ID=ubuntu' /etc/os-release && ! snap version >/dev/null 2>&1; then
            echo "chromium: Ubuntu offers it as a snap only (snap install chromium); tests that draw a page will skip"
            continue
        fi
    fi
    missing+=("$command")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing ${missing[*]} for the tests"
# One that the archive does not have keeps apt from installing the others.
apt_install "${missing[@]}" || { [ ${#missing[@]} -gt 1 ] && for command in "${missing[@]}"; do apt_install "$command"; done; }
for command in "${missing[@]}"; do
    command -v "$command" >/dev/null && continue
    echo "$command is not here; tests that need it will skip. To have them run, type:"
    echo "    sudo apt-get install --no-install-recommends $command"
done
exit 0
