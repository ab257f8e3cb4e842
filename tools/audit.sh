#!/usr/bin/env bash
# audit.sh PYTHON: asks the index whether what is installed beside PYTHON has known vulnerabilities. Where pip-audit cannot
# be installed or no index can be asked it prints a line and ends well.
set -uo pipefail
python=$1

if ! "$python" -m pip_audit --version >/dev/null 2>&1; then
    "$python" -m pip --disable-pip-version-check install --quiet 'pip-audit>=2.7' >/dev/null 2>&1
fi
if ! "$python" -m pip_audit --version >/dev/null 2>&1; then
    echo "dependencies were not audited: pip-audit cannot be installed here"
    exit 0
fi
found=$(timeout 180 "$python" -m pip_audit --skip-editable --progress-spinner off --timeout 10 2>&1)
status=$?
if [ $status -eq 0 ]; then
    echo "dependencies: no known vulnerabilities"
elif grep -q 'known vulnerabilit' <<<"$found"; then
    echo "$found"
    exit 1
else
    echo "dependencies were not audited: no index of vulnerabilities can be asked from here"
fi
