#!/usr/bin/env bash
# environment.sh FOLDER: makes a virtual environment there with a Python of at least 3.11. Debian and Ubuntu keep a
# part of venv in a package of its own, which is installed where that is allowed.
set -uo pipefail
source "$(dirname "$0")/apt.sh"
folder=$1

python=
for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "halfshake needs Python 3.11 or later, and this is $(python3 --version 2>&1). Install one and say which:" >&2
    echo "    make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
fi

"$python" -m venv "$folder" >/dev/null 2>&1 && exit 0
rm -rf "$folder"
package="$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
apt_install "$package" && "$python" -m venv "$folder" && exit 0
rm -rf "$folder"
echo "$python cannot make a virtual environment. On Debian or Ubuntu type:" >&2
echo "    sudo apt-get install $package" >&2
exit 1
